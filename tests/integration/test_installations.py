"""The fixtures themselves: what other tests build on."""

from core.services.flags import Definition, create_flag
from tests.support.installations import Cluster, Installation


def test_a_fresh_installation_has_three_environments(installation: Installation) -> None:
    assert installation.revisions() == {"dev": 1, "staging": 1, "prod": 1}
    with installation.session() as session:
        assert session.actor.name == installation.admin_email


def test_two_installations_share_nothing(cluster: Cluster) -> None:
    with cluster.installation() as one, cluster.installation() as other:
        with one.change() as change:
            create_flag(change, Definition("dark_mode"))
        assert one.ask("SELECT key FROM flagctl.flags") == [("dark_mode",)]
        assert other.ask("SELECT key FROM flagctl.flags") == []
        assert one.environment_id("dev") != other.environment_id("dev")


def test_a_token_of_each_role(installation: Installation) -> None:
    token = installation.token_for("editor", "dev", "staging")
    with installation.session(token) as session:
        assert [(g.role, g.environment) for g in session.actor.grants] == [
            ("editor", "dev"),
            ("editor", "staging"),
        ]
