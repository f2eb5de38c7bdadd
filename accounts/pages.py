"""What every page shares: who may call it, how a refusal is shown, and the key that makes a click count once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django import forms
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache

from accounts.errors import ApplicationError, NotFound
from accounts.models import User

P = ParamSpec("P")
T = TypeVar("T")
FormT = TypeVar("FormT", bound=forms.Form)
CENTS = Decimal(100)


class PageRequest(HttpRequest):
    """A request that has passed `page`: somebody is signed in."""

    user: User


View = Callable[Concatenate[PageRequest, P], HttpResponseBase]


def page(*roles: str) -> Callable[[View[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """A page for these roles (any, where none is named). Strangers are asked to sign in; for others it is not there."""

    def decorate(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @never_cache  # what one person saw must not come back from the cache for the next
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not isinstance(request.user, User):
                return redirect_to_login(request.get_full_path())
            if roles and request.user.role not in roles:
                raise Http404
            try:
                return view(request, *args, **kwargs)  # type: ignore[arg-type]  # narrowed by the check above
            except NotFound as error:
                raise Http404(error.message) from error

        return guarded

    return decorate


def new_key() -> str:
    """An idempotency key for a form that is shown now."""
    return uuid.uuid4().hex


class ActionForm(forms.Form):
    """A form with an effect. Its key is made when it is shown, so that a second click is the same request."""

    key = forms.CharField(max_length=120, widget=forms.HiddenInput, initial=new_key)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **options})

    def refuse(self, error: ApplicationError) -> None:
        """Show a service's refusal beside the field it names; the form keeps what was typed."""
        if error.code == "idempotency_conflict":
            self.data = {**self.data, "key": new_key()}
            self.add_error(None, "This form was sent before with other values. Check it and send it again.")
            return
        named = (error.field or "").split(".")[-1]
        self.add_error(named if named in self.fields else None, error.message)


def attempt(form: ActionForm, act: Callable[[], T]) -> T | None:
    """Call a service; None after a refusal, which the form then shows. NotFound passes through to `page`."""
    try:
        return act()
    except NotFound:
        raise
    except ApplicationError as error:
        form.refuse(error)
        return None


def form_for(request: HttpRequest, form: type[FormT], **options: Any) -> FormT:
    """The form as sent, or a fresh one."""
    return form(request.POST, request.FILES, **options) if request.method == "POST" else form(**options)


class AmountField(forms.DecimalField):
    """An amount of money with at most two decimals; thousands may be set apart by commas or spaces.

    cleaned: int cents, above zero.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=15, decimal_places=2, min_value=Decimal("0.01"), **options)
        self.widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num"})

    def clean(self, value: Any) -> int | None:  # cents leave the form, not a Decimal
        text = "".join(str(value or "").split()).replace(",", "")
        amount = super().clean(text)
        return None if amount is None else int(amount * CENTS)
