"""What `flagctl doctor` says of Postgres's log settings, held against a real log."""

import pytest

from flagctl.doctor import logs
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation
from tests.support.servers import Servers


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (("log_statement = 'none'",), "whoami"),
        (("log_statement = 'all'",), "whoami"),
        (("log_statement = 'all'", "log_parameter_max_length = 0"), "whoami"),
        (("log_min_duration_statement = 0",), "whoami"),
        (("log_transaction_sample_rate = 1",), "whoami"),
        (("log_parameter_max_length_on_error = -1",), "forged"),
        (("log_parameter_max_length_on_error = 0",), "forged"),
    ],
)
def test_it_warns_where_a_token_is_printed(
    settings: tuple[str, ...], command: str, servers: Servers, seeded: Installation
) -> None:
    """And nowhere else; a forged token makes the statement fail that has it."""
    if servers.postgres is None:
        pytest.skip("the log of this Postgres is elsewhere")
    for setting in settings:
        seeded.run(f"ALTER ROLE {seeded.prefix}_admin_login SET {setting}")
    try:
        before = servers.postgres.log.stat().st_size
        cli = CommandLine(seeded, seeded.environ())
        token = cli.environ["FLAGCTL_TOKEN"]
        if command == "forged":
            token = f"{token[:-8]}AAAAAAAA"
        cli.run("whoami", FLAGCTL_TOKEN=token)
        with seeded.connect("admin") as connection:
            warned = [check.verdict for check in logs.examine(connection, "logs")] != ["ok"]
        written = servers.postgres.log.read_bytes()[before:].decode(errors="replace")
        assert (token[-60:] in written) == warned
    finally:
        seeded.run(f"ALTER ROLE {seeded.prefix}_admin_login RESET ALL")
