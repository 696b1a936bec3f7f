"""Plausible, made-up names for a school in a Chinese town: any likeness is chance."""

import random

SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏"
    "魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵"
    "万钱严覃武戴莫孔向汤"
)
BOYS = (
    "子轩 浩然 宇航 俊杰 天佑 博文 梓豪 思远 一鸣 嘉懿 明哲 泽宇 志强 皓轩 文博 家豪 晨阳 瑞霖 承泽 书航 "
    "伟 磊 洋 昊 鹏 涛 睿 凯 楠 峰"
)
GIRLS = (
    "梓涵 诗涵 欣怡 雨桐 思雨 佳怡 可馨 梦瑶 语嫣 子墨 雅婷 静怡 若曦 芷若 心悦 晓彤 婉清 书瑶 紫萱 嘉怡 "
    "婷 雪 颖 琳 倩 瑶 敏 洁 璇 悦"
)
ELDERS = "桂英 秀兰 玉珍 淑华 凤英 秀英 玉兰 桂兰 秀珍 素芬"
MOTHERS = "海燕 晓红 丽娟 春梅 文静 艳 芳 丽 霞 玲 红梅 小燕 玉梅 慧 燕 娜 雪梅 秀琴 晓燕 丽萍 佩芳 琴 蓉 英"
FATHERS = "建国 志明 卫东 永强 国华 军 勇 强 平 斌 立新 俊 辉 刚 建华 志刚 海涛 文军 晓东 波 超 峰 明 涛"


class Names:
    """Draws names; a pupil's name is given only once, because people at this school are told apart by it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._weights = [len(SURNAMES) - place for place in range(len(SURNAMES))]
        self._taken: set[str] = set()

    def surname(self) -> str:
        """A surname, common ones more often."""
        return self.chance.choices(SURNAMES, self._weights)[0]

    def pupil(self, surname: str) -> str:
        """A new name of a child of this family."""
        while (name := surname + self.chance.choice((BOYS + " " + GIRLS).split())) in self._taken:
            pass
        self._taken.add(name)
        return name

    def mother(self, surname: str) -> str:
        """A mother's name."""
        return surname + self.chance.choice(MOTHERS.split())

    def father(self, surname: str) -> str:
        """A father's name."""
        return surname + self.chance.choice(FATHERS.split())

    def elder(self, surname: str) -> str:
        """A grandmother's name."""
        return surname + self.chance.choice(ELDERS.split())
