"""Texts of the page in English and Chinese, and translations of the library's sentences."""

from __future__ import annotations

import re
from typing import Final

LANGUAGES: Final = {"en": "English", "zh": "中文"}
"""Languages of the page, by code: what each calls itself."""

TAGS: Final = {"en": "en", "zh": "zh-CN"}
"""Language tags of the pages, which browsers and Gradio know."""

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    # frame
    "title": ("Faces, with measured error rates", "人脸比对，误差率经过实测"),
    "privacy": (
        "Photos are processed on the machine of this service only, and erased afterwards.",
        "照片只在运行此服务的机器上处理，用后即删除。",
    ),
    "model": ("Model {model}, calibration {calibration}", "模型 {model}，校准 {calibration}"),
    "no_scope": (
        "Your key may not do this: it lacks the scope {scope}. Ask the administrator of the service.",
        "您的密钥没有此权限：缺少 {scope} 权限。请联系服务管理员。",
    ),
    "sign_out": ("Sign out", "退出登录"),
    "sign_in": ("Sign in", "登录"),
    "sign_in_words": (
        "This service asks for a key. Paste yours, or ask its administrator for one.",
        "此服务需要密钥。请粘贴您的密钥，或向管理员索取。",
    ),
    "key": ("Key", "密钥"),
    "bad_key": (
        "This key is not valid: wrong, expired or revoked.",
        "密钥无效：错误、过期或已撤销。",
    ),
    "verify": ("Verify", "比对"),
    "identify": ("Identify", "识别"),
    "people": ("People", "人员"),
    "sort": ("Sort", "整理"),
    "check": ("Check", "检验"),
    "working": ("Working …", "正在处理……"),
    # photos
    "choose": ("Choose a photo", "选择照片"),
    "choose_more": ("Choose photos", "选择照片"),
    "drop": ("or drop or paste it here", "也可拖放或粘贴到此处"),
    "drop_more": ("or drop or paste them here", "也可拖放或粘贴到此处"),
    "drop_files": ("or drop photos or a zip file here", "也可将照片或 zip 文件拖放到此处"),
    "camera": ("Use camera", "使用摄像头"),
    "shoot": ("Take photo", "拍照"),
    "cancel": ("Cancel", "取消"),
    "remove": ("Remove", "移除"),
    "samples": ("Samples:", "示例："),
    "no_camera": ("The camera cannot be used here.", "无法使用摄像头。"),
    "no_preview": ("No preview of this format", "此格式无法预览"),
    "too_big": ("This photo is larger than {most} MB.", "照片超过 {most} MB。"),
    "first_photo": ("First photo", "第一张照片"),
    "second_photo": ("Second photo", "第二张照片"),
    "photo": ("Photo", "照片"),
    "photos": ("Photos", "照片"),
    "need_photo": ("Choose a photo first.", "请先选择照片。"),
    "need_two": ("Choose two photos first.", "请先选择两张照片。"),
    # verify
    "verify_words": (
        "Do two photos show the same person? Choose how rarely strangers may be taken for one "
        "person; the answer keeps to that rate.",
        "两张照片是同一个人吗？先选定把不同的人误判为同一人的最高比例，结果会遵守这个比例。",
    ),
    "rate": ("Strangers taken for the same person", "陌生人被误判为同一人"),
    "rate_words": (
        "at most this often (false match rate)",
        "最高比例（错误匹配率）",
    ),
    "one_in": ("1 in {n}", "{n} 分之一"),
    "calibration": ("Calibration", "校准"),
    "own_calibration": ("the model's own", "模型自带"),
    "compare": ("Compare", "开始比对"),
    "same": ("Same person", "同一个人"),
    "different": ("Different people", "不是同一个人"),
    "unsure": ("Cannot tell", "无法判断"),
    "unsure_words": (
        "The photos are too poor for a score so near to the threshold. Use sharp, evenly lit "
        "photos that show the whole face.",
        "照片质量太差，而得分又离阈值太近。请使用清晰、光线均匀、拍到整张脸的照片。",
    ),
    "score_words": (
        "Score {score}. From {threshold} up, two photos count as one person.",
        "得分 {score}。达到 {threshold} 及以上即判为同一个人。",
    ),
    "fnmr_words": (
        "At this threshold {fmr} pairs of different people were wrongly matched, and {fnmr} pairs "
        "of one person were missed. Measured on: {dataset}.",
        "在此阈值下，不同的人有 {fmr} 被误判，同一个人有 {fnmr} 被漏判。测量数据：{dataset}。",
    ),
    "fmr_words": (
        "The threshold keeps wrong matches to {fmr}, measured on {dataset}.",
        "此阈值使误判不超过 {fmr}，依据：{dataset}。",
    ),
    "evidence": ("How strong is the evidence?", "证据有多强？"),
    "lr_help": (
        "The likelihood ratio says how much more often such a score occurs for one person than "
        "for two. It is not the probability that they are the same.",
        "似然比表示这样的得分在同一个人身上出现的机会是在不同人身上的多少倍，并不是同一个人的概率。",
    ),
    "where": ("Where this score lies", "得分所在位置"),
    "where_words": (
        "Scores of pairs whose answer is known, from the calibration {name}.",
        "答案已知的照片对的得分，来自校准 {name}。",
    ),
    "mated": ("same person", "同一个人"),
    "non_mated": ("different people", "不同的人"),
    "all_pairs": ("pairs of your photos", "您的照片对"),
    "threshold": ("threshold", "阈值"),
    "this_score": ("this score", "此得分"),
    "score_axis": ("score (cosine similarity)", "得分（余弦相似度）"),
    "seen": ("What was compared", "比对所用的人脸"),
    "good_quality": ("Good quality: nothing to improve.", "质量良好，无需改进。"),
    "several": (
        "{photo}: it has {n} faces. Compared: {rule}. Is it the right one?",
        "{photo}中有 {n} 张脸，比对的是：{rule}。请确认是否选对了人。",
    ),
    "which_face": ("In a photo with several faces, use", "照片中有多张脸时，使用"),
    "largest": ("the largest face", "最大的脸"),
    "central": ("the face nearest to the center", "最靠近中央的脸"),
    "refuse": ("none: leave the photo out", "都不用，跳过该照片"),
    "curl": ("The same with curl", "用 curl 完成同样的操作"),
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    # identify
    "identify_words": (
        "Who of the enrolled people is this, or nobody we know? Every face of the photo gets an "
        "answer.",
        "照片中的人是已登记的某人，还是我们不认识的人？照片中的每张脸都会得到答案。",
    ),
    "gallery": ("Gallery", "人员库"),
    "fpir": ("Strangers given a name", "陌生人被认错"),
    "fpir_words": (
        "at most this often (false positive identification rate)",
        "最高比例（错误识别率）",
    ),
    "auto": ("As rarely as the data allow, at most 1 in 100", "按数据支持的最低值，不超过百分之一"),
    "who": ("Who is this?", "这是谁？"),
    "unknown": ("Unknown", "不认识"),
    "unknown_words": ("Nobody enrolled here is similar enough.", "已登记的人中没有足够相似的人。"),
    "nobody": ("Nobody is enrolled yet.", "还没有登记任何人。"),
    "no_gallery": (
        "This service has no gallery that you may use. Its administrator can add one: "
        "visavis serve --ui --gallery NAME=FOLDER",
        "此服务没有您可以使用的人员库。管理员可以添加：visavis serve --ui --gallery NAME=FOLDER",
    ),
    "face_n": ("Face {n}", "第 {n} 张脸"),
    "closest": ("Closest people", "最相似的人"),
    "photo_alt": ("The photo with numbered faces", "带有人脸编号的照片"),
    "crop_alt": ("Aligned face", "对齐后的人脸"),
    # people
    "people_words": (
        "People who can be identified. Only numbers computed from a photo are stored, never the "
        "photo.",
        "可被识别的人员。只保存由照片计算出的数值，从不保存照片。",
    ),
    "templates_one": ("1 photo", "1 张照片"),
    "templates": ("{n} photos", "{n} 张照片"),
    "expires": ("expires {date}", "{date} 到期"),
    "add": ("Add photos of a person", "添加某人的照片"),
    "name": ("Name", "姓名"),
    "keep": ("Keep", "保留时间"),
    "set_expiry": ("Set", "设置"),
    "forever": ("until erased", "直到删除"),
    "days": ("{n} days", "{n} 天"),
    "year": ("one year", "一年"),
    "keep_crops": (
        "Keep the cut-out faces, to show them here and for later models",
        "保留裁剪出的人脸，用于在此显示，也便于以后更换模型",
    ),
    "enroll": ("Add", "添加"),
    "need_name": ("Say who it is: enter a name.", "请输入姓名。"),
    "enrolled": ("added", "已添加"),
    "already-enrolled": ("was here already", "之前已添加"),
    "no-face": ("no face found", "没有找到人脸"),
    "several-faces": ("more than one face", "不止一张脸"),
    "low-quality": ("quality too low", "质量太低"),
    "unreadable": ("cannot be read", "无法读取"),
    "unusable-name": ("this name cannot be used", "此姓名无法使用"),
    "quality": ("quality {n} of 100", "质量 {n}/100"),
    "selected": ("{n} selected", "已选择 {n} 人"),
    "rename": ("Rename", "改名"),
    "new_name": ("New name", "新姓名"),
    "merge": ("Merge into one", "合并为一人"),
    "merge_words": (
        "Merged people keep the name that comes first.",
        "合并后保留排在最前面的姓名。",
    ),
    "split": ("Look inside and split", "查看并拆分"),
    "split_words": ("{name}: photos", "{name} 的照片"),
    "split_how": (
        "Select those of somebody else and say who it is.",
        "选择其中属于别人的照片，并输入那个人的姓名。",
    ),
    "suggested": ("unlike the others", "与其他不相像"),
    "no_suggestion": (
        "All of these look alike: nothing to suggest.",
        "这些照片都很相像，没有拆分建议。",
    ),
    "split_do": ("Split off", "拆分"),
    "erase": ("Erase", "删除"),
    "erase_sure": (
        "Erase {names} and all that was computed from their photos? This cannot be undone.",
        "删除 {names} 以及由其照片计算出的全部数据？此操作无法撤销。",
    ),
    "erase_yes": ("Yes, erase", "确认删除"),
    "done_rename": ("{old} is now {new}.", "{old} 已改名为 {new}。"),
    "done_merge": ("Merged into {name}.", "已合并为 {name}。"),
    "done_split": ("{n} moved to {name}.", "已将 {n} 张移到 {name}。"),
    "done_erase": ("{n} erased.", "已删除 {n} 人。"),
    "find": ("Find a name", "查找姓名"),
    "more_people": ("{n} more: narrow the search.", "还有 {n} 人，请缩小查找范围。"),
    # sort
    "sort_words": (
        "Puts the photos of a folder in order by person, without knowing names. Photos are erased "
        "once they are sorted; faces and names {hours} h after your last click, or at once by "
        "Erase all.",
        "按人物整理一批照片，无需事先知道姓名。整理完成后照片即被删除；人脸和姓名在最后一次操作 {hours} 小时后删除，"
        "也可以点“全部删除”立即删除。",
    ),
    "folder": ("Choose a folder", "选择文件夹"),
    "files": ("Choose photos or a zip file", "选择照片或 zip 文件"),
    "chosen": ("{n} photos chosen.", "已选择 {n} 张照片。"),
    "sending": ("Sending photo", "正在发送照片"),
    "not_sent": ("Some photos could not be sent.", "部分照片未能发送。"),
    "start_sort": ("Sort by person", "按人物整理"),
    "sorted": (
        "{faces} faces in {photos} photos: {clusters} people, {alone} of them with one photo only.",
        "{photos} 张照片中有 {faces} 张脸：{clusters} 个人，其中 {alone} 人只有一张。",
    ),
    "left_out": ("{n} photos without a usable face.", "{n} 张照片没有可用的人脸。"),
    "who_is": ("Who is this? ({k} of {n})", "这是谁？（第 {k} 个，共 {n} 个）"),
    "save_next": ("Save, next", "保存，下一个"),
    "skip": ("Skip", "跳过"),
    "back": ("Back", "上一个"),
    "keys_words": (
        "Keyboard: Enter saves and goes on, Esc skips, Alt+← goes back.",
        "键盘：回车保存并继续，Esc 跳过，Alt+← 返回上一个。",
    ),
    "person_n": ("Person {n}", "人物 {n}"),
    "overview": ("Everybody", "所有人"),
    "overview_words": (
        "Select two or more to merge them. Open one to name it or take faces out.",
        "选择两个或更多可以合并。打开某人可以命名或移出人脸。",
    ),
    "open": ("Open", "打开"),
    "merge_named": ("Merge selected", "合并所选"),
    "name_selected": ("Name selected", "命名所选"),
    "off": ("Another person", "是另一个人"),
    "not_face": ("Not a face", "不是人脸"),
    "undo": ("Undo", "撤销"),
    "doubtful": ("doubtful", "存疑"),
    "faces_words": (
        "Select faces that do not belong here, then say what they are.",
        "选择不属于此人的脸，再指出是什么情况。",
    ),
    "likely": ("May be the same person", "可能是同一个人"),
    "erase_all": ("Erase all", "全部删除"),
    "erased_all": ("Everything of this collection is erased.", "此批照片的全部数据已删除。"),
    "download": ("Download the list (CSV)", "下载列表 (CSV)"),
    "need_photos": ("Choose photos first.", "请先选择照片。"),
    "unexpected": (
        "An unexpected error; see the log of the service.",
        "发生意外错误，请查看服务日志。",
    ),
    # check
    "check_words": (
        "Error rates were measured on other photos. Do they hold on yours? Give 50 or more photos "
        "of mostly different people; with a folder per person you also see an ROC curve.",
        "误差率是用别的照片测得的，对您的照片还成立吗？请提供至少 50 张照片，以不同的人为主；"
        "若每人一个文件夹，还可以看到 ROC 曲线。",
    ),
    "start_check": ("Check", "开始检验"),
    "trusted": ("Trusted here", "在此可信"),
    "not_trusted": ("Not trusted here", "在此不可信"),
    "no_check": ("Too few photos to tell", "照片太少，无法判断"),
    "check_used": (
        "{photos} photos with a usable face; {failures} without.",
        "{photos} 张照片有可用的人脸，{failures} 张没有。",
    ),
    "verdict": (
        "Promised: {rate} pairs of different people wrongly matched. On your photos it is about "
        "{factor} times as many (95 % interval: {low} to {high} times).",
        "承诺：不同的人有 {rate} 被误判。在您的照片上约为其 {factor} 倍（95 % 区间：{low} 至 {high} 倍）。",
    ),
    "claimed": ("Promised", "承诺"),
    "found": ("On your photos, about", "在您的照片上约为"),
    "interval": ("95 % interval", "95 % 区间"),
    "holds": ("Holds", "成立"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "make": ("Make a calibration of these photos", "用这些照片制作校准"),
    "make_words": (
        "Thresholds measured on your own photos. It is stored under this name; the photos are not.",
        "用您自己的照片测得的阈值，以此名称保存；照片不会保存。",
    ),
    "make_name": ("Name of the calibration", "校准名称"),
    "make_do": ("Make it", "制作"),
    "made": (
        "Calibration {name} is ready: choose it under Verify.",
        "校准 {name} 已完成，可在“比对”中选用。",
    ),
    "histogram": ("Scores", "得分"),
    "roc": ("ROC curve", "ROC 曲线"),
    "roc_words": (
        "How many pairs of one person are found (up), at which rate of wrong matches (right).",
        "纵轴：同一人照片对被找出的比例；横轴：误判比例。",
    ),
    "fmr_axis": ("false match rate", "错误匹配率"),
    "plane": ("Map of the faces (t-SNE)", "人脸分布图 (t-SNE)"),
    "plane_words": (
        "Each dot is a face. Near means similar; distances between groups mean nothing.",
        "每个点是一张脸。越近越相似；群组之间的距离没有意义。",
    ),
    # errors
    "error": ("This did not work", "操作未成功"),
}

_SENTENCES: Final = (
    (r"eyes are ([\d.]+) px apart, under ([\d.]+): .*", r"两眼距离 \1 像素，低于 \2：请靠近一些，或使用更大的照片"),
    (r"sharpness is (\S+), under (\S+): .*", r"清晰度 \1，低于 \2：请对焦到脸部、拿稳相机，或使用更大的照片"),
    (r"brightness is (\S+), under (\S+): .*", r"亮度 \1，低于 \2：请从正面照亮脸部，或延长曝光"),
    (r"brightness is (\S+), over (\S+): .*", r"亮度 \1，高于 \2：请缩短曝光，或让脸避开强光"),
    (r"contrast is (\S+), under (\S+): .*", r"对比度 \1，低于 \2：请增加光线、擦净镜头，避免雾气和逆光"),
    (r"head is turned (\S+) degrees .*", r"头部侧转 \1 度：请正对镜头"),
    (r"head is tilted (\S+) degrees .*", r"头部俯仰 \1 度：请让相机与眼睛同高"),
    (r"face is rotated (\S+) degrees .*", r"脸部倾斜 \1 度：请把照片转正"),
    (r"(\S+) of the face lies outside the photo.*", r"脸部有 \1 在照片之外：请使用拍到整张脸的照片"),
    (r"detector score is (\S+), under (\S+): .*", r"检测置信度 \1，低于 \2：请确认这是人脸，或使用更清晰的照片"),
    (r"this score says nothing either way", "此得分不支持任何一方"),
    (r"this score is at least (\S+) times likelier if these are the same person",
     r"若是同一个人，出现此得分的可能性至少为 \1 倍"),
    (r"this score is (\S+) times likelier if these are the same person",
     r"若是同一个人，出现此得分的可能性约为 \1 倍"),
    (r"this score is at least (\S+) times likelier if these are different people",
     r"若是不同的人，出现此得分的可能性至少为 \1 倍"),
    (r"this score is (\S+) times likelier if these are different people",
     r"若是不同的人，出现此得分的可能性约为 \1 倍"),
    (r"the calibration has no mated pairs.*", "此校准没有同一人的照片对，无法衡量证据"),
    (r"(.+) is above the threshold, too \(score (\S+)\).*",
     r"\1 也超过阈值（得分 \2）：是同一人用两个姓名登记，还是亲属？"),
    (r"LFW View 1 training people, all pairs", "LFW View 1 训练集人物的全部照片对"),
    (r"(\d+) photos with a face; give at least (\d+), better (\d+), of mostly different people",
     r"只有 \1 张照片有人脸：请提供至少 \2 张（最好 \3 张），以不同的人为主"),
    # what was given
    (r"(.+) has more than ([\d,]+) bytes", r"\1 超过 \2 字节"),
    (r"more than ([\d,]+) bytes", r"照片超过 \1 字节"),
    (r"(.+) claims (\d+) x (\d+) = ([\d,]+) pixels, more than ([\d,]+)",
     r"\1 为 \2 × \3 = \4 像素，超过 \5 像素"),
    (r"(.+) is (\d+) x (\d+) pixels", r"\1 只有 \2 × \3 像素"),
    (r"(.+): no face found in (\d+)x(\d+) pixels", r"\1（\2 × \3 像素）中没有找到人脸"),
    (r"(?:.*?\D)?(\d+) faces found.*, and one name; .*",
     r"照片中有 \1 张脸，而姓名只有一个：请把照片裁剪到一个人，或选用最大或最靠近中央的脸"),
    (r"(.+): (\d+) faces found.*", r"\1 中有 \2 张脸"),
    (r"(.+) has (\d+) faces, more than (\d+)", r"\1 中有 \2 张脸，超过 \3 张"),
    (r"(.+) is empty \(0 bytes\)", r"\1 是空文件"),
    (r"(.+) is not an image \(.*\)", r"\1 不是照片文件"),
    (r"(.+) is not a photo but (?:an? )?(.+)", r"\1 不是照片，而是 \2"),
    (r"(\d+) photos are waiting, of (\d+) that may", r"已有 \1 张照片在等待，最多 \2 张"),
    (r"more than ([\d,]+) photos", r"照片超过 \1 张"),
    (r"the key sent more than ([\d,]+) requests per minute", r"每分钟的请求超过 \1 次"),
    (r"the key has scope (.+) only", r"您的密钥的权限是 \1"),
    (r"'(.+)' is another person of the gallery", r"人员库中已有另一个人叫“\1”"),
    (r"the name '(.+)'(?:, which)? is taken", r"名称“\1”已被使用"),
    # what to do
    (r"(?:store|give|scale) (?:the|a) (?:photo smaller|smaller photo|photo down).*", "请缩小照片"),
    (r"give a photo of at least (\d+) x (\d+)", r"请使用至少 \1 × \2 像素的照片"),
    (r"use a sharper photo that shows the whole face, eyes at least (\d+) pixels apart",
     r"请使用更清晰、拍到整张脸的照片，两眼相距至少 \1 像素"),
    (r"crop the photo to one person, or choose the rule .*", "请把照片裁剪到一个人"),
    (r"cut it into several photos", "请把它裁剪成几张照片"),
    (r"copy or download the (?:photo|file) again", "请重新复制或下载照片"),
    (r"(?:pass a photo|save it) as (.+?) or ([^(]+?)(?: \(.*\))?", r"请使用 \1 或 \2 格式的照片"),
    (r"ask again in a moment|wait for it to finish.*", "请稍后再试"),
    (r"wait (\d+) s", r"请等待 \1 秒"),
    (r"give ([\d,]+) at most", r"请最多提供 \1 张"),
    (r"choose (?:it )?(?:again|another)", "请另选"),
    (r"merge them, or choose a name", "请将两人合并，或另选姓名"),
    (r"use one with scope (\S+): .*", r"请使用有 \1 权限的密钥"),
)  # fmt: skip

_REASONS: Final = {
    "no-face": "照片中没有找到人脸",
    "several-faces": "照片中不止一张脸",
    "not-an-image": "这不是照片文件",
    "image-truncated": "照片文件不完整",
    "image-too-large": "照片太大",
    "image-unsupported": "不支持这种照片格式",
    "unsupported-fmr": "现有数据不支持这么低的误差率",
    "unknown-person": "没有这个人",
    "person-exists": "已经有这个姓名的人",
    "busy": "服务繁忙，请稍后再试",
    "forbidden": "您的密钥没有此权限",
}


class Words:
    """Texts in one language.

    Args:
        language: a key of ``LANGUAGES``.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = list(LANGUAGES).index(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Returns the text of a key with its places filled."""
        return _TEXTS[key][self._column].format(**values)

    def count(self, n: int) -> str:
        """Returns the number of a person's photos in words."""
        return self("templates_one") if n == 1 else self("templates", n=n)

    def rate(self, value: float) -> str:
        """Returns a rate as ``1 in 1,000``; two significant digits."""
        if not value > 0:
            return "0"
        n = 1 / value
        digits = round(n, 2 - len(str(int(n)))) if n >= 10 else round(n, 1)
        return self("one_in", n=f"{digits:,.0f}" if digits >= 10 else f"{digits:g}")

    def say(self, sentence: str) -> str:
        """Returns a sentence of the library in this language; unknown ones stay English."""
        told = self.translated(sentence)
        return told[:1].upper() + told[1:] if told == sentence else told

    def translated(self, text: str) -> str:
        """Returns a text of the library in this language, or as it is if it is unknown."""
        if self.language == "zh":
            for pattern, chinese in _SENTENCES:
                if found := re.fullmatch(pattern, text, re.DOTALL):
                    return found.expand(chinese)
        return text

    def score(self, value: float) -> str:
        """Returns a score with two digits and a minus sign, not a hyphen."""
        return f"{value:.2f}".replace("-", "−")

    def full(self, sentence: str) -> str:
        """Returns a sentence of the library in this language, with its full stop."""
        return self.say(sentence) + ("。" if self.language == "zh" else ".")

    def reason(self, reason: str) -> str:
        """Returns the reason of an error in this language, or an empty string."""
        return _REASONS.get(reason, "") if self.language == "zh" else ""
