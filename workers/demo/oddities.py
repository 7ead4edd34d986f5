"""People whose data is what real data is like at its worst. Each organization of the demo has them all.

Addresses that nothing can be sent to, names that want to be markup or headers, locales and zones that nobody knows. Every one must
end in a letter or in a reason why there is none, and hold nobody else up.
"""

from workers.demo.accounts import TRAITS, Account, Letter, Shape

_LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff " * 278


def oddities(domain: str) -> list[Account]:
    """Return them for an organization whose people have addresses at `domain`."""
    return [*_by_address(domain), *_by_name(domain), *_by_place(domain), *_by_account(domain)]


def _odd(
    name: str | None,
    email: str | None,
    letter: Letter = Letter.ACCEPTED,
    *,
    shape: Shape = Shape.PASSWORD,
    kind: str = "employee",
    locale: str | None = "en-GB",
    time_zone: str | None = "Europe/London",
) -> Account:
    sessions = TRAITS[shape].sessions + TRAITS[shape].besides
    return Account(shape=shape, name=name, email=email, letter=letter, kind=kind, locale=locale, time_zone=time_zone, sessions=sessions)


def _by_address(domain: str) -> list[Account]:
    return [
        _odd("No Address", None, Letter.SUPPRESSED),
        _odd("Empty Address", "", Letter.SUPPRESSED),
        _odd("Not An Address", "call the front desk", Letter.SUPPRESSED),
        _odd("Two At Signs", f"two@@{domain}", Letter.SUPPRESSED),
        _odd("Two Addresses", f"one@{domain}, two@{domain}", Letter.SUPPRESSED),
        _odd("Line Break", f"victim@{domain}\r\nRCPT TO:<everybody@example.com>", Letter.SUPPRESSED),
        _odd("Trailing Line Break", f"line-break@{domain}\n", Letter.SUPPRESSED),
        _odd("Angle Brackets", f"odd><evil@{domain}", Letter.SUPPRESSED),
        _odd("Dots In A Row", f"dots..dots@{domain}", Letter.SUPPRESSED),
        _odd("No Domain To Speak Of", "somebody@localhost", Letter.SUPPRESSED),
        _odd("Too Long", f"{'long.' * 60}end@{domain}", Letter.SUPPRESSED),
        _odd("Jürgen Groß", f"jürgen.groß@{domain}", Letter.SUPPRESSED, locale="de-DE", time_zone="Europe/Berlin"),
        _odd("Protected Without Address", None, Letter.SUPPRESSED, shape=Shape.PROTECTED),
        _odd("Inês Bücher", "ines.odd@bücher-und-mehr.example", locale="pt-BR", time_zone="America/Sao_Paulo"),
        _odd("Seán O'Brien", f"sean.o'brien+2fa@{domain}"),
        _odd("Gone Since Spring", f"gone.since.spring@{domain}", Letter.REFUSED),
        _odd("Unknown To The Server", f"unknown.person@{domain}", Letter.REFUSED, shape=Shape.PROTECTED),
    ]


def _by_name(domain: str) -> list[Account]:
    names = [
        None,
        "",
        "\u200b\u2060\ufeff",
        '<script>alert("2FA")</script><b>Bold</b> & <img src=x>',
        "Ada \u202elevaC\u202c \u2066Isolate",
        "Bell\x07 Tab\t Escape\x1b[31m",
        "Robin\r\nBcc: everybody@example.com\r\n\r\nNot the body",
        "Please visit https://evil.example and www.evil.example now",
        "{{ 7 * 7 }} {% include 'secrets' %} %(name)s {0} ${HOME} $name",
        "=?utf-8?q?Looks_encoded?=",
        "Z\u0351\u036b\u0343a\u0489\u0321l\u0347\u034eg\u0334o\u0315 \U0001f469\u200d\U0001f469\u200d\U0001f467",
        '"Quoted", <quoted@example.com>; (comment) \\ .',
        _LONG_NAME,
    ]
    return [_odd(name, f"odd.name.{number}@{domain}") for number, name in enumerate(names)]


def _by_place(domain: str) -> list[Account]:
    places = [
        ("tlh-Qo", "Mars/Olympus_Mons"),
        ("not a locale!", ""),
        ("", "../../etc/passwd"),
        ("he-IL", "Asia/Jerusalem"),
        ("EN_us", "utc"),
    ]
    return [
        _odd("Kim Elsewhere", f"odd.place.{number}@{domain}", locale=locale, time_zone=time_zone)
        for number, (locale, time_zone) in enumerate(places)
    ]


def _by_account(domain: str) -> list[Account]:
    return [
        _odd("Backup Robot", f"odd.robot@{domain}", shape=Shape.TOKEN, kind="service", locale=None, time_zone=None),
        _odd("Unheard Of", f"odd.kind@{domain}", kind="ombudsperson"),
        _odd("Left Last Year", f"odd.left@{domain}", Letter.SUPPRESSED, shape=Shape.INACTIVE),
    ]
