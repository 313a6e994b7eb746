"""A collection: a gallery, its faces by id, and what of its people Rekognition's clients see.

Every face is a person's. A photo with one face and an ``ExternalImageId`` is the person's of that
name. Any other face is a person of its own, with a name that no ``ExternalImageId`` can be. A user
is a person whose attributes say so; associating a face moves it to that person. The attributes also
keep the ``ExternalImageId`` of faces that are not called as their person.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import State

from visavis.errors import UnknownFaceError
from visavis.service.dialects.rekognition.access import SignedCaller
from visavis.service.dialects.rekognition.answers import stored_face
from visavis.service.dialects.rekognition.ids import face_id, number_of
from visavis.service.dialects.rekognition.wire import aws, invalid
from visavis.service.problems import ProblemError
from visavis.service.state import Service

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery
    from visavis.api.records import Person, StoredFace

KEY: Final = "rekognition"
"""Attribute of a person: an object with ``user``, ``token`` and ``external``."""

_OWN: Final = re.compile(r"face [0-9a-f-]{36}", re.ASCII)
_LONGEST_NAME: Final = 200

changing: Final = threading.RLock()
"""Held while people change in several steps."""


def own_name(unique: str) -> str:
    """Returns the name of a face that is a person of its own; ``unique`` is a UUID."""
    return f"face {unique}"


def can_be_a_name(external: str) -> bool:
    """Whether a person can be called so."""
    return len(external) <= _LONGEST_NAME


@dataclass(slots=True)
class Collection:
    """The gallery behind a collection, during one request.

    Attributes:
        id: ``CollectionId``.
        gallery: the gallery.
        state: of the request.
    """

    id: str
    gallery: Gallery
    state: State
    _people: dict[str, Person] = field(default_factory=dict)

    @classmethod
    def of(cls, service: Service, caller: SignedCaller, name: str) -> Collection:
        """Returns a collection of the caller.

        Raises:
            ProblemError: there is none, or it is not the caller's.
        """
        try:
            return cls(*service.gallery(name, caller), caller.state)
        except ProblemError as error:
            raise aws(
                "ResourceNotFoundException", f"The collection id: {name} does not exist"
            ) from error

    def face(self, given: str) -> StoredFace | None:
        """Returns a face by its id, or ``None``."""
        try:
            found = self.gallery.store.face(number_of(given))
        except UnknownFaceError:
            return None
        return found if face_id(found) == given else None

    def required_face(self, given: str) -> StoredFace:
        """Returns a face by its id.

        Raises:
            ProblemError: there is none.
        """
        found = self.face(given)
        if found is None:
            raise invalid(f"faceId {given} was not found in the collection.")
        return found

    def faces_of(self, person: str) -> list[StoredFace]:
        """Returns a person's faces; none if nobody is called so."""
        return self.gallery.faces(person) if person in self.gallery else []

    def person(self, name: str) -> Person:
        """Returns a person, read once a request."""
        if name not in self._people:
            self._people[name] = self.gallery.person(name)
        return self._people[name]

    def described(self, face: StoredFace) -> dict[str, Any]:
        """Returns a ``Face``."""
        person = self.person(face.person)
        labels = {}
        if external := external_of(face, person):
            labels["ExternalImageId"] = external
        if is_user(person):
            labels["UserId"] = person.name
        return stored_face(face, labels)

    def users(self) -> Iterator[Person]:
        """Yields the users, by name."""
        return (person for person in self.gallery.store.people() if is_user(person))

    def user(self, name: str) -> Person:
        """Returns a user.

        Raises:
            ProblemError: there is no such user.
        """
        if name in self.gallery and is_user(found := self.gallery.person(name)):
            return found
        raise aws("ResourceNotFoundException", f"The user id: {name} does not exist")

    def note(self, name: str, **changes: Any) -> None:
        """Changes what the dialect keeps of a person; a value ``None`` is removed."""
        person = self.gallery.person(name)
        kept = _kept(person) | changes
        kept = {key: value for key, value in kept.items() if value is not None}
        attributes = {**person.attributes, KEY: kept}
        if not kept:
            del attributes[KEY]
        if attributes != person.attributes:
            self.gallery.set_attributes(name, attributes)
        self._people.clear()

    def move(self, faces: Sequence[StoredFace], into: str) -> None:
        """Moves faces to a person, who is made if new. They keep their ``ExternalImageId``.

        People left without faces are erased, but users; their attributes go to the person.
        """
        if into not in self.gallery:
            self.gallery.store.add_person(into)
        usual = None if _OWN.fullmatch(into) else into
        labels = dict(_labels(self.person(into)))
        sources: dict[str, list[StoredFace]] = {}
        for face in faces:
            sources.setdefault(face.person, []).append(face)
            external = external_of(face, self.person(face.person))
            if external != usual:
                labels[str(face.id)] = external or ""
        people = {name: self.person(name) for name in sources}
        self.note(into, external=labels or None)
        whole = []
        for name, moved in sources.items():
            numbers = [face.id for face in moved]
            if len(numbers) < len(self.faces_of(name)):
                self.gallery.split(name, numbers, into=into)
            else:
                whole.append(name)
        if whole:
            lost = [people[name].attributes for name in whole if not is_user(people[name])]
            own = self.gallery.person(into).attributes
            every = {key: one for some in lost for key, one in some.items() if key != KEY} | own
            if every != own:
                self.gallery.set_attributes(into, every)
            self.gallery.merge(into, *whole)
        for name, person in people.items():
            if is_user(person):  # stays, without labels of what it had
                if name in whole:
                    self.gallery.store.add_person(name)
                    self.gallery.set_attributes(name, person.attributes)
                gone = {str(face.id) for face in sources[name]}
                kept = {key: one for key, one in _labels(person).items() if key not in gone}
                self.note(name, external=kept or None)
        self._people.clear()

    def erase_if_empty(self, name: str) -> None:
        """Erases a person who has no faces and is no user."""
        if name in self.gallery:
            person = self.gallery.person(name)
            if not person.faces and not is_user(person):
                self.gallery.remove(name)
        self._people.clear()

    def dissolve(self, faces: Sequence[StoredFace]) -> None:
        """Makes each of some faces a person of its own."""
        for face in faces:
            self.move([face], own_name(face_id(face)))


def is_user(person: Person) -> bool:
    """Whether a person is a user of Rekognition's clients."""
    return _kept(person).get("user") is True


def token_of(person: Person) -> object:
    """Returns the token of the request that made a user."""
    return _kept(person).get("token")


def external_of(face: StoredFace, person: Person) -> str | None:
    """Returns the ``ExternalImageId`` of a face, or ``None``."""
    labels = _labels(person)
    if str(face.id) in labels:
        return labels[str(face.id)] or None
    return None if _OWN.fullmatch(person.name) else person.name


def labelled(face: StoredFace, person: Person) -> bool:
    """Whether a face came to its person by association."""
    return str(face.id) in _labels(person)


def _labels(person: Person) -> Mapping[str, str]:
    found = _kept(person).get("external")
    return found if isinstance(found, dict) else {}


def _kept(person: Person) -> dict[str, Any]:
    found = person.attributes.get(KEY)
    return found if isinstance(found, dict) else {}
