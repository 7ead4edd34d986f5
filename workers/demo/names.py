"""Names of people from many places, with the locale and zone that go with them. Data only.

A name is written as its bearer writes it; where that is not in Latin letters, the spelling for an address stands behind a slash.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Culture:
    """Where somebody comes from. `family_first`: how a full name is written there."""

    weight: int
    locale: str | None
    time_zone: str | None
    given: tuple[str, ...]
    family: tuple[str, ...]
    family_first: bool = False


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CULTURES = (
    Culture(
        weight=22,
        locale="en-US",
        time_zone="America/New_York",
        given=_words(
            "Emma Liam Olivia Noah Ava Ethan Sophia Mason Isabella Logan Mia Lucas Harper Jackson Evelyn Aiden Abigail Carter Ella Owen"
        ),
        family=_words(
            "Smith Johnson Williams Brown Jones Garcia Miller Davis Wilson Anderson Taylor Moore Jackson Martin Lee Thompson White Harris"
        ),
    ),
    Culture(
        weight=6,
        locale="en-US",
        time_zone="America/Los_Angeles",
        given=_words("Jayden Chloe Dylan Zoe Caleb Naomi Tyler Aaliyah Marcus Destiny Andre Jasmine"),
        family=_words("Washington Nguyen Rivera Coleman Ramirez Brooks Sanders Torres Reed Flores Bailey Ortiz"),
    ),
    Culture(
        weight=10,
        locale="en-GB",
        time_zone="Europe/London",
        given=_words("Oliver Amelia George Isla Harry Poppy Alfie Freya Callum Imogen Rhys Siân Niamh Hamish"),
        family=_words("Clarke Hughes Edwards Green Hall Wood O'Connor Walker Evans Roberts Robinson MacLeod Wright Fitzpatrick"),
    ),
    Culture(
        weight=14,
        locale="de-DE",
        time_zone="Europe/Berlin",
        given=_words("Jürgen Anna Lukas Katharina Jörg Sabine Felix Björn Käthe Maximilian Ursula Günther Heike Tobias Zoë Leonie"),
        family=_words("Müller Schmidt Schneider Weiß Fischer Weber Größmann Wagner Becker Schulz Hoffmann Schäfer Koch Köhler Krämer Vogt"),
    ),
    Culture(
        weight=8,
        locale="fr-FR",
        time_zone="Europe/Paris",
        given=_words("Chloé Léa Hugo Inès Théo Zoé Raphaël Manon Étienne Camille François Anaïs Gaëlle Loïc"),
        family=_words("Lefèvre Dubois Moreau Laurent Garnier Faure Rousseau Lemaître Girard Bonnet Mercier Aubé Françoise Desprès"),
    ),
    Culture(
        weight=8,
        locale="es-ES",
        time_zone="Europe/Madrid",
        given=_words("Lucía Álvaro Martín Sofía Íñigo Begoña Andrés Ximena Joaquín Pilar Nuria Raúl"),
        family=_words("Núñez Fernández Ibáñez Gómez Peña Rodríguez Castaño Muñoz Ortega Domínguez Vázquez Zúñiga"),
    ),
    Culture(
        weight=5,
        locale="es-MX",
        time_zone="America/Mexico_City",
        given=_words("Guadalupe José Alejandra Emiliano Fernanda Santiago Regina Leonardo"),
        family=_words("Hernández Martínez López Cruz Morales Reyes Jiménez Guzmán"),
    ),
    Culture(
        weight=7,
        locale="ja-JP",
        time_zone="Asia/Tokyo",
        given=_words("美咲/misaki 翔太/shota 陽菜/hina 健太/kenta 結衣/yui 大輔/daisuke さくら/sakura 蓮/ren 葵/aoi 直樹/naoki"),
        family=_words(
            "佐藤/sato 鈴木/suzuki 高橋/takahashi 田中/tanaka 渡辺/watanabe 伊藤/ito 山本/yamamoto 中村/nakamura 小林/kobayashi 加藤/kato"
        ),
        family_first=True,
    ),
    Culture(
        weight=5,
        locale="ar-EG",
        time_zone="Africa/Cairo",
        given=_words("محمد/mohamed فاطمة/fatma أحمد/ahmed مريم/mariam يوسف/youssef ليلى/layla عمر/omar نور/nour"),
        family=_words("حسن/hassan إبراهيم/ibrahim السيد/elsayed خليل/khalil منصور/mansour فاروق/farouk صالح/saleh عثمان/osman"),
    ),
    Culture(
        weight=4,
        locale="pt-BR",
        time_zone="America/Sao_Paulo",
        given=_words("João Beatriz Thiago Larissa Caio Letícia Vinícius Conceição"),
        family=_words("Silva Araújo Gonçalves Simões Magalhães Ribeiro Falcão Assunção"),
    ),
    Culture(
        weight=3,
        locale="pl-PL",
        time_zone="Europe/Warsaw",
        given=_words("Łukasz Małgorzata Paweł Agnieszka Żaneta Wojciech Zofia Michał"),
        family=_words("Wiśniewski Wójcik Kowalczyk Kamińska Szymański Dąbrowska Błaszczyk Łuczak"),
    ),
    Culture(
        weight=3,
        locale="tr-TR",
        time_zone="Europe/Istanbul",
        given=_words("Işıl Mehmet Ayşe Çağrı Gülşen Ömer Şebnem Yiğit"),  # noqa: RUF001 - a Turkish letter
        family=_words("Yılmaz Öztürk Aydın Şahin Çelik Kılıç Doğan Güneş"),  # noqa: RUF001 - a Turkish letter
    ),
    Culture(
        weight=3,
        locale="hi-IN",
        time_zone="Asia/Kolkata",
        given=_words("आरव/aarav अनन्या/ananya विवान/vivaan दिया/diya अर्जुन/arjun काव्या/kavya"),
        family=_words("शर्मा/sharma वर्मा/verma गुप्ता/gupta सिंह/singh पटेल/patel नायर/nair"),
    ),
    # Accounts from before the app asked: no locale, no zone.
    Culture(
        weight=4,
        locale=None,
        time_zone=None,
        given=_words("Alex Kim Robin Sam Chris Dana Jo Pat"),
        family=_words("Novak Horvat Popescu Ivanov Jensen Berg Larsen Virtanen"),
    ),
)

OUTSIDE_DOMAINS = _words(
    "example.com example.net example.org mail.example.com larkfield-consulting.example bramble-and-sons.example "
    "nordwind-logistik.example atelier-lumiere.example hoshino-works.example bücher-und-mehr.example"
)
"""Where clients and contractors get their mail; reserved names (RFC 2606), one of them internationalized."""
