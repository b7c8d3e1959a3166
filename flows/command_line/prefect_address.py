"""Which Prefect server a command asks, when neither its profile nor the environment names one."""

from onerun.config.prefect_address import address_of_prefect_profile
from settings.profile import PrefectProfile


def with_prefect(profile: PrefectProfile) -> PrefectProfile:
    """Return the profile; without an address, with the one that Prefect's own profile names."""
    if profile.prefect_api_url is not None:
        return profile
    return profile.model_copy(update={"prefect_api_url": address_of_prefect_profile()})
