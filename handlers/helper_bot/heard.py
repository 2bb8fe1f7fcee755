"""A message as the bot hears it: what was said, and to whom."""

from __future__ import annotations

import re
from functools import cached_property

from receiver import BotMessage

_WORD = re.compile(r"\w+")
_THANKS = frozenset(("thanks", "thank", "thx", "ty", "cheers"))
_COURTESIES = _THANKS | frozenset(
    _WORD.findall(
        "you u very much so a lot many that helps helped it works worked now for your the help ok okay great"
        " cool nice perfect good fine got bye goodbye and see later alright sure done yes no"
    )
)
_LEAVING = frozenset(("cancel", "stop", "quit", "exit", "leave", "never mind", "nevermind", "forget it"))


class Heard:
    """Reads one message."""

    def __init__(self, event: BotMessage) -> None:
        self._event = event
        names = [name for name in (event.bot.userid, event.bot.nickname) if name]
        self._name = re.compile(rf"(?<!\w)@(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)

    @cached_property
    def words(self) -> str:
        """What was said, without the bot's own name."""
        return self._name.sub(" ", self._event.text).strip(" ,:\n\t")

    @cached_property
    def is_mention(self) -> bool:
        """Whether the bot is mentioned, or named at the beginning."""
        return self._event.bot.userid in self._event.mentioned or bool(
            self._name.match(self._event.text.lstrip())
        )

    @cached_property
    def is_direct(self) -> bool:
        """Whether nobody else is in the channel. Not known unless the bot was made with `show_member`."""
        members = {member.user_id for member in self._event.members}
        return bool(members) and members <= {self._event.bot.userid, self._event.sender.user_id}

    @property
    def is_addressed(self) -> bool:
        """Whether it is said to the bot, and to nobody else."""
        return self.is_mention or self.is_direct

    @property
    def is_for_another(self) -> bool:
        """Whether it is another bot's command (the bot's own don't come here), or names someone else."""
        names_another = bool(self._event.mentioned) or self._event.text.lstrip().startswith(("@", "/"))
        return names_another and not self.is_addressed

    @cached_property
    def is_courtesy(self) -> bool:
        """Whether it asks nothing: "ok, thanks", or no words at all."""
        return all(word in _COURTESIES for word in self._spoken)

    @cached_property
    def is_thanks(self) -> bool:
        """Whether it is a courtesy that thanks."""
        return self.is_courtesy and any(word in _THANKS for word in self._spoken)

    @cached_property
    def is_leaving(self) -> bool:
        """Whether it says no more than that someone doesn't want to go on."""
        return " ".join(self._spoken) in _LEAVING

    @cached_property
    def _spoken(self) -> list[str]:
        return _WORD.findall(self.words.lower())
