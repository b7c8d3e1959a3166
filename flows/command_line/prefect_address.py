"""Which Prefect server a command asks, when neither its profile nor the environment says so."""

from onerun.config.prefect_address import address_of_prefect_profile
from settings.profile import PrefectProfile


def with_prefect(profile: PrefectProfile) -> PrefectProfile:
    """Return the profile, with the address that Prefect's own profile names when it has none itself."""
    if profile.prefect_api_url is not None:
        return profile
    return profile.model_copy(update={"prefect_api_url": address_of_prefect_profile()})
