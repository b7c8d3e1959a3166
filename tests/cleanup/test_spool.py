"""What is read from a store waits in files, and comes back in another order."""

import random

from onerun.cleanup.disk_list import DiskList, ExperimentPlan, by_id
from onerun.domain.cleanup.plan import Item


def test_items_come_in_the_order_of_their_ids_and_families_together() -> None:
    chance = random.Random(0)
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(300)]
    families = {run: ids[number // 10 * 10] for number, run in enumerate(ids) if number % 3 == 0}
    items = [
        Item("run", run, "", "1", "houses", "", 0, family=families.get(run, "")) for run in ids
    ]
    with DiskList[ExperimentPlan]() as spool:
        for number in range(3):
            spool.add(ExperimentPlan(f"/store/{number}", items[100 * number : 100 * (number + 1)]))
        sorted_ones = list(by_id(spool, lambda item: item.id != ids[7]))
    assert {item.id: location for location, item in sorted_ones} == {
        run: f"/store/{number // 100}" for number, run in enumerate(ids) if number != 7
    }
    places = [(item.family or item.id, item.id) for _, item in sorted_ones]
    assert places == sorted(places)
