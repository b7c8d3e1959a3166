"""A profile with what Prefect needs: the library's settings and the server that runs the flows."""

from pydantic import SecretStr

from onerun.config.addresses import PrefectApi
from onerun.config.profile import Profile, load_profile_as, setting_of


class PrefectProfile(Profile):
    """Where trainings run, are tracked and keep their data."""

    prefect_api_url: PrefectApi | None = setting_of(
        "PREFECT_API_URL", says="Prefect's API; without one a temporary server is started."
    )
    prefect_api_key: SecretStr | None = setting_of("PREFECT_API_KEY", says="Key of Prefect Cloud.")
    prefect_api_auth_string: SecretStr | None = setting_of(
        "PREFECT_API_AUTH_STRING", says="user:password of a Prefect server."
    )


def load_profile(name: str | None = None) -> PrefectProfile:
    """Read the profile called `name`, else that of ONERUN_PROFILE, else the environment alone.

    Raises: Mistakes.
    """
    return load_profile_as(PrefectProfile, name)
