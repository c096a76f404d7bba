"""The forms by which a visitor becomes somebody."""

from __future__ import annotations

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm

from chat.people import NICK_MAX, nick_problem


class GuestForm(forms.Form):
    """Choose a nick, and nothing else."""

    nick = forms.CharField(
        label="Nick",
        max_length=NICK_MAX,
        widget=forms.TextInput(
            attrs={"autocomplete": "nickname", "placeholder": "e.g. Night Owl"}
        ),
    )

    def clean_nick(self) -> str:
        """Refuse what is no nick, and the names of registered users."""
        nick = " ".join(self.cleaned_data["nick"].split())
        if problem := nick_problem(nick):
            raise forms.ValidationError(problem)
        if get_user_model().objects.filter(username__iexact=nick).exists():
            raise forms.ValidationError("This name belongs to a member. Sign in to use it.")
        return nick


class SignInForm(AuthenticationForm):
    """Django's form; which field has the focus is left to the page."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.pop("autofocus", None)


class RegistrationForm(UserCreationForm):
    """Create an account whose name may be shown next to messages."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # The only optional thing in Django's form; the page has no use for it.
        self.fields.pop("usable_password", None)
        self.fields["username"].help_text = "What others see next to your messages."
        self.fields["username"].widget.attrs["maxlength"] = NICK_MAX
        self.fields["password1"].help_text = "Six characters or more."
        self.fields["password2"].help_text = ""

    def clean_username(self) -> str | None:
        """Apply the limits of a nick, besides Django's own rules."""
        username: str | None = super().clean_username()
        # Django returns nothing for a name that is taken, having said so.
        if username is not None and (problem := nick_problem(username)):
            raise forms.ValidationError(problem)
        return username
