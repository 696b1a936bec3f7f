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
PARENTS = (
    "建国 志明 海燕 晓红 丽娟 春梅 卫东 永强 文静 国华 艳 军 勇 芳 丽 强 平 霞 玲 斌 "
    "红梅 小燕 立新 玉梅 俊 慧 燕 辉 娜 刚"
)


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

    def parent(self, surname: str) -> str:
        """A mother's or father's name."""
        return surname + self.chance.choice(PARENTS.split())

    def elder(self, surname: str) -> str:
        """A grandmother's name."""
        return surname + self.chance.choice(ELDERS.split())
