"""The words of gate texts, one table a language: child, time, what happened, gate, in that order."""

ARRIVED, LATE, LEFT, LEFT_EARLY, UNSURE = "arrived", "late", "left", "left_early", "unsure"

ZH = {
    ARRIVED: "{name} {time} 已到校{gate}。",
    LATE: "{name} {time} 到校（迟到 {minutes} 分钟）{gate}。",
    LEFT: "{name} {time} 已离校{gate}。",
    LEFT_EARLY: "{name} {time} 离校（早退 {minutes} 分钟）{gate}。",
    UNSURE: "{name} 已到校{gate}，刷卡时间待核实。",
    "gate": "（{gate}）",
    "gate_after_minutes": "，{gate}",
    "delayed": "[系统延迟补发]",
}
EN = {
    ARRIVED: "{name} {time} arrived at school{gate}.",
    LATE: "{name} {time} arrived {minutes} min late{gate}.",
    LEFT: "{name} {time} left school{gate}.",
    LEFT_EARLY: "{name} {time} left school {minutes} min early{gate}.",
    UNSURE: "{name} arrived at school{gate}; time not confirmed.",
    "gate": " ({gate})",
    "gate_after_minutes": " ({gate})",
    "delayed": " [sent late]",
}
LANGUAGES = {"zh": ZH, "en": EN}


def language(locale: str) -> dict[str, str]:
    """The table for a guardian's locale (`zh_Hans_CN`, `en`); Chinese where we have no better."""
    return LANGUAGES.get(locale.replace("-", "_").split("_")[0].lower(), ZH)
