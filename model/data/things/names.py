"""Names of the everyday things, and what the icon sets call their pictures. Data alone.

Icon sets name their pictures after the short names of Unicode's emoji. A thing is named by one or two common words,
which may stand for several of those pictures; things that are hard to tell apart in a small picture have one name.
"""

from __future__ import annotations

from collections.abc import Mapping

_ANIMALS = """
    ant; bat; bear; bee=honeybee; bird; boar; bug; butterfly; camel,two-hump-camel; cat,cat-face;
    chick=baby-chick,front-facing-baby-chick; chicken; cow,cow-face; crab; crocodile; deer; dog,dog-face; dolphin;
    dove; dragon,dragon-face; duck; eagle; elephant; fish,tropical-fish; fox; frog; goat; gorilla; hamster;
    horse,horse-face; koala; ladybug=lady-beetle; leopard; lion; lizard; monkey,monkey-face; mouse,mouse-face;
    octopus; owl; ox,water-buffalo; panda; penguin; pig,pig-face; pufferfish=blowfish; rabbit,rabbit-face; ram; rat;
    rhinoceros; rooster; scorpion; shark; sheep=ewe; shrimp; snail; snake; spider; squid; squirrel=chipmunk;
    tiger,tiger-face; turkey; turtle; unicorn; whale,spouting-whale; wolf
"""
_FOOD = """
    apple=red-apple,green-apple; avocado; banana; beer=beer-mug; burger=hamburger; burrito;
    cake=birthday-cake,shortcake; carrot; cheese=cheese-wedge; chestnut; chocolate bar; cocktail=cocktail-glass;
    cookie; corn cob=ear-of-corn; croissant; cucumber; cup=hot-beverage,teacup-without-handle; donut=doughnut; egg;
    eggplant; hot dog; ice cream=soft-ice-cream,ice-cream; kiwi=kiwi-fruit; lemon; lollipop; melon; mushroom;
    orange=tangerine; peach; pear; pepper=hot-pepper; pineapple; pizza; potato; pumpkin=jack-o-lantern; strawberry;
    taco; tomato; watermelon; wine glass=wine-glass
"""
_VEHICLES = """
    airplane,small-airplane,airplane-departure,airplane-arrival; ambulance; bicycle; boat=sailboat;
    bus,oncoming-bus; canoe; car=automobile,oncoming-automobile,sport-utility-vehicle; fire engine; helicopter;
    motorboat=motor-boat,speedboat; motorcycle; police car,oncoming-police-car; racing car; rocket;
    scooter=motor-scooter; ship,passenger-ship,ferry; taxi,oncoming-taxi; tractor; train,locomotive;
    truck=delivery-truck,articulated-lorry
"""
_HOUSEHOLD = """
    backpack; balloon; bathtub; battery; bed; bell; book=closed-book,green-book,blue-book,orange-book;
    boot=womans-boot,hiking-boot; briefcase; calendar,tear-off-calendar; camera,camera-with-flash; candle;
    clock=alarm-clock,mantelpiece-clock; clipboard; computer=desktop-computer; credit card; crown; door; dress;
    envelope; gear; gift=wrapped-gift; hammer; hat=top-hat; high heel=high-heeled-shoe;
    hourglass=hourglass-done,hourglass-not-done; key,old-key; keyboard; knife=kitchen-knife; laptop; light bulb;
    lipstick; lock=locked,unlocked; magnifying glass=magnifying-glass-tilted-left,magnifying-glass-tilted-right;
    medal=sports-medal,military-medal; microscope; money bag; newspaper; package; paintbrush; paperclip;
    pen,fountain-pen; pencil; phone=mobile-phone; plug=electric-plug; printer; pushpin,round-pushpin; radio; ring;
    shirt=t-shirt; shoe=running-shoe,mans-shoe; shopping cart; shower; spoon; stopwatch; syringe; telephone;
    telescope; television; thermometer; tie=necktie; toilet; trophy;
    umbrella,umbrella-with-rain-drops,closed-umbrella; video camera,movie-camera; watch; wrench
"""
_MUSIC_AND_PLAY = """
    baseball; basketball; boxing glove; die=game-die; drum; fishing rod=fishing-pole;
    football=american-football,rugby-football; guitar; microphone; piano=musical-keyboard; saxophone; soccer ball;
    trumpet; violin; volleyball
"""
_PLACES_AND_PLANTS = """
    cactus; castle,japanese-castle; church; cloud; factory; ferris wheel; fire;
    flower=hibiscus,blossom,cherry-blossom; fountain; house,house-with-garden; leaf=maple-leaf,fallen-leaf; palm
    tree; pine tree=evergreen-tree; rainbow; rose; snowflake; snowman,snowman-without-snow; sunflower; tent;
    tree=deciduous-tree; tulip; volcano
"""
_OTHERS = """
    alien; anchor; bomb; coffin; crystal ball; ear; eye; ghost; heart=red-heart; lightning=high-voltage; mouth;
    nose; pill; robot; satellite; shield; skull
"""


def _read(*lists: str) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for entry in "; ".join(" ".join(words.split()) for words in lists).split("; "):
        if entry:
            name, _, others = entry.partition("=" if "=" in entry else ",")
            icons = [icon.strip() for icon in others.split(",") if icon.strip()]
            names[name] = tuple(icons if "=" in entry else [name.replace(" ", "-"), *icons])
    return names


NAMES: Mapping[str, tuple[str, ...]] = _read(
    _ANIMALS, _FOOD, _VEHICLES, _HOUSEHOLD, _MUSIC_AND_PLAY, _PLACES_AND_PLANTS, _OTHERS
)
