"""Words in names of columns and paths that say what they hold."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAIN_TEXT = _words(
    "text texts content contents body document doc article passage tweet review post paragraph transcript story "
    "utterance lyrics code docstring"
)
TURNS = _words(
    "instruction instructions input inputs output outputs response completion prompt question answer context query "
    "problem solution rationale chosen premise hypothesis target source translation"
)
OTHER_TEXT = _words(
    "sentence sentences comment abstract summary description title headline caption message messages conversation "
    "conversations dialogue dialog"
)
EVALUATION = _words(
    "test tests testing eval evaluation evaluations valid validation val dev devel heldout holdout benchmark "
    "benchmarks bench"
)
SPLITS = EVALUATION | _words("train training")
LABELS = _words(
    "label labels class target sentiment intent species diagnosis topic category stance y"
)
LANGUAGES = _words("language languages lang langs langcode locale")
GROUPS = LANGUAGES | _words(
    "domain source category genre country region dialect subset dataset site gender sex kind type"
)
IDS = _words("id ids uuid guid uid key")
ADDRESSES = _words("uri url image img picture photo audio sound video file filename path")
MEASURES = _words("hash md5 sha length len count size num number date time")
DOCUMENTATION = _words("readme license licence changelog notice manifest copying authors")

#: ISO 639-1, all of it.
TWO_LETTERS = _words(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv "
    "ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne "
    "ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st "
    "su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
#: ISO 639-3 of the languages with the most speakers, and of those that corpora name most.
THREE_LETTERS = _words(
    "afr aka amh ara arb arq ary arz asm aze bel ben bos bul bur cat ceb ces chi cmn cym dan deu dut ell eng est eus "
    "fas fil fin fra fre fry fuv gle glg guj hat hau heb hin hrv hun hye ibo ind isl ita jav jpn kan kat kaz khm kin "
    "kir kor kur lao lat lav lin lit lug mal mar mkd mlg mlt mon mri msa mya nep nld nob nno nor nso nya ori orm pan "
    "pcm pes pol por pus que ron rum run rus san sin slk slv sna snd som sot spa sqi srp ssw sun swa swe swh tam tat "
    "tel tgk tgl tha tir tso tsn tuk tur twi uig ukr urd uzb vie wol xho yid yor yue zho zul"
)
