"""DATABASE_URL in the forms that hosts hand out, and the words that refuse what can't be honoured."""

import pytest

from persistence.address import Address, AddressError, parse

PASSWORD = "hunter2"


def refusal(url: str) -> str:
    """Why the URL is refused."""
    with pytest.raises(AddressError) as caught:
        parse(url)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "POSTGRES"])
def test_every_usual_scheme_is_understood(scheme: str) -> None:
    """The same database is meant, however the URL begins, and the parts are decoded."""
    assert parse(f" {scheme}://ana:p%40s%2Fs@db:5433/se%20ance\n") == Address(
        hosts=(("db", 5433),),
        user="ana",
        password="p@s/s",
        database="se ance",
        tls={},
        server_settings={},
        keepalives={},
    )


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://db/seance", (("db", 5432),)),
        ("postgresql://u:p@one:1,two:2/seance", (("one", 1), ("two", 2))),
        ("postgresql://u:p@one,two:6000/seance", (("one", 5432), ("two", 6000))),
        ("postgresql://u:p@[::1]:6000,[fe80::1]/seance", (("::1", 6000), ("fe80::1", 5432))),
        ("postgresql://u:p@ss@db/seance", (("db", 5432),)),
        ("postgresql://u:p@%2Fvar%2Frun/seance", (("/var/run", 5432),)),
        ("postgresql://u:p@/seance?host=/cloudsql/a:b:c", (("/cloudsql/a:b:c", 5432),)),
        ("postgresql:///seance?host=one,two&port=1", (("one", 1), ("two", 1))),
        ("postgresql:///seance", ()),
        (r"host=one port=7 user=u password='a \'b' dbname = seance", (("one", 7),)),
    ],
)
def test_every_form_of_the_host_is_understood(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    """Several hosts, IPv6, sockets, and libpq's form without a scheme."""
    assert parse(url).hosts == hosts
    assert parse(url).database == "seance"


@pytest.mark.parametrize(
    "url",
    [
        # Neon, Supabase, Heroku, RDS, Azure, Crunchy, DigitalOcean, Cloud SQL, as their pages show them.
        "postgresql://u:p@ep-x-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        "postgresql://u:p@ep-x.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-x",
        "postgresql://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
        "postgres://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
        "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1?sslmode=no-verify",
        "postgresql://u:p@x.rds.amazonaws.com:5432/db?sslmode=verify-full&sslrootcert=/etc/ssl/global-bundle.pem",
        "host=x.postgres.database.azure.com port=5432 dbname=postgres user=ana password=p sslmode=require",
        "postgres://application:p@p.x.db.postgresbridge.com:5431/postgres?target_session_attrs=read-write",
        "postgresql://doadmin:p@db-x.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
        "postgresql://u:p@/db?host=/cloudsql/project:region:instance&connect_timeout=10&application_name=seance",
        "postgresql://u:p@db/d?gssencmode=disable&keepalives=1&keepalives_idle=30&keepalives_count=3&sslsni=1",
    ],
)
def test_what_hosts_hand_out_is_understood(url: str) -> None:
    """Every parameter of these URLs is honoured."""
    assert parse(url).hosts


def test_each_parameter_reaches_its_place() -> None:
    """What the server is told, TLS, keepalives, the time to connect, and the pooler are told apart."""
    address = parse(
        "postgresql://db/d?sslmode=require&sslrootcert=/ca.pem&options=-c%20a%3Db&application_name=x&connect_timeout=3"
        "&keepalives_idle=30&tcp_user_timeout=2000&pgbouncer=true&target_session_attrs=read-write"
    )
    assert address.tls == {"sslmode": "require", "sslrootcert": "/ca.pem"}
    assert address.server_settings == {"application_name": "x", "options": "-c a=b"}
    assert address.keepalives == {"keepalives_idle": 30, "tcp_user_timeout": 2000}
    assert (address.connect_seconds, address.has_pooler, address.needs_writable) == (3, True, True)


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=disable", {"sslmode": "disable"}),
        ("sslmode=prefer&channel_binding=prefer", {"sslmode": "prefer"}),
        ("sslmode=verify-full&sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslmode=require&channel_binding=require", {"sslmode": "verify-full", "sslrootcert": "system"}),
        (
            "sslmode=require&channel_binding=require&sslrootcert=/ca.pem",
            {"sslmode": "verify-full", "sslrootcert": "/ca.pem"},
        ),
    ],
)
def test_tls_is_never_weaker_than_asked_for(query: str, tls: dict[str, str]) -> None:
    """Words of other drivers keep their meaning; a bound channel becomes a verified certificate."""
    assert parse(f"postgresql://db/d?{query}").tls == tls


@pytest.mark.parametrize("query", ["statement_cache_size=0", "prepared_statement_cache_size=0", "pgbouncer=1"])
def test_a_url_can_say_that_a_pooler_is_in_front(query: str) -> None:
    """Other drivers' switches for a pooler of transactions mean that one is there."""
    assert parse(f"postgresql://db/d?{query}").has_pooler
    assert not parse("postgresql://db/d?pgbouncer=false").has_pooler


def test_of_several_hosts_the_primary_is_wanted() -> None:
    """A gateway can do nothing with a standby."""
    assert parse("postgresql://one,two/d").needs_writable
    assert not parse("postgresql://one/d").needs_writable


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://ana:{PASSWORD}@db/d", "must start with postgresql://, postgres://"),
        (f"postgresql+psycopg2://ana:{PASSWORD}@db/d", "must start with"),
        (PASSWORD, "is not a URL such as"),
        ("127.0.0.1:5432", "is not a URL such as"),
        (f"postgresql://ana:{PASSWORD}#1@db/d", "%23"),
        (f"postgresql://ana:1/{PASSWORD}@db/d", "%2F"),
        (f"postgresql://ana:1?{PASSWORD}=2@db/d", "%3F"),
        (f"postgresql://ana:[{PASSWORD}@db/d", "%5B"),
        (f"postgresql://ana:{PASSWORD}/2", "port that is no number"),
        (f"postgresql://ana@db:{PASSWORD}/d", "port that is no number"),
        (f"postgresql://ana:{PASSWORD}@db:70000/d", "port"),
        (f"postgresql://ana:{PASSWORD}@one,,two/d", "each host a name"),
        (f"postgresql://ana:{PASSWORD}@one,two/d?port=1,2,3", "one host for each port"),
        (f"postgresql://ana:{PASSWORD}@/d?port=1", "no host"),
        (f"postgresql://ana:{PASSWORD}@db/d?sslmode", "is not a URL such as"),
        (f"postgresql://ana:{PASSWORD}@db/d?sslmode={PASSWORD}", "verify-full"),
        (f"postgresql://ana:{PASSWORD}@db/d?sslmode=prefer&channel_binding=require", "write sslmode=require"),
        (f"postgresql://ana:{PASSWORD}@db/d?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        (f"postgresql://ana:{PASSWORD}@db/d?gssencmode=require", "use disable or prefer"),
        (f"postgresql://ana:{PASSWORD}@db/d?target_session_attrs=standby", "read-write"),
        (f"postgresql://ana:{PASSWORD}@db/d?connect_timeout={PASSWORD}", "`connect_timeout`"),
        (f"postgresql://ana:{PASSWORD}@db/d?prepared_statement_cache_size=5", "can only be 0"),
        (f"postgresql://ana:{PASSWORD}@db/d?pgbouncer={PASSWORD}", "neither true nor false"),
        (f"postgresql://ana:{PASSWORD}@db/d?connection_limit=1", "set DB_POOL_SIZE instead"),
        (f"postgresql://ana:{PASSWORD}@db/d?schema=x", "set DATABASE_SCHEMA instead"),
        (f"postgresql://ana:{PASSWORD}@db/d?nonsense=x", "`nonsense`, which can't be honoured"),
        (f"postgresql://ana:{PASSWORD}@db/d?port=1&port=2", "`port` more than once"),
        (f"host=a host=b password={PASSWORD}", "`host` more than once"),
        (f"host=a password='{PASSWORD}", "is not a URL such as"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_words(url: str, words: str) -> None:
    """The reason says what to write instead, and quotes no part of a password."""
    assert words in refusal(url)
    assert PASSWORD not in refusal(url)


def test_an_address_is_shown_without_its_password() -> None:
    """A printed address has no password in it."""
    address = parse(f"postgresql://ana:{PASSWORD}@db,[::1]:5433/seance")
    assert address.shown == "postgresql://ana@db:5432,[::1]:5433/seance"
    assert PASSWORD not in repr(address)
