"""Stripe's own word on its shapes and parameters: the types of the `stripe` package, generated from its OpenAPI spec.

`problems(body, kind)` says where an object differs from the class Stripe publishes: a field that does not exist, a
required one that is missing or null, a value of another type. `unknown_parameters(method, path, form)` says which
parameters of a request Stripe's params types do not know. Both answer for the version the package pins.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import stripe
from stripe._list_object import ListObject
from stripe._search_result_object import SearchResultObject
from stripe._stripe_object import StripeObject, UntypedStripeObject

CLASSES: Mapping[str, Any] = {
    "billing.credit_balance_summary": stripe.billing.CreditBalanceSummary,
    "billing.credit_grant": stripe.billing.CreditGrant,
    "card": stripe.Card,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "credit_note": stripe.CreditNote,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "invoiceitem": stripe.InvoiceItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "refund": stripe.Refund,
    "setup_intent": stripe.SetupIntent,
    "subscription": stripe.Subscription,
    "subscription_schedule": stripe.SubscriptionSchedule,
    "tax_id": stripe.TaxId,
}

PARAMETERS: Mapping[tuple[str, str], str] = {
    ("GET", "/v1/billing/credit_balance_summary"): "billing.CreditBalanceSummaryRetrieve",
    ("GET", "/v1/billing/credit_grants"): "billing.CreditGrantList",
    ("GET", "/v1/charges"): "ChargeList",
    ("GET", "/v1/charges/*"): "ChargeRetrieve",
    ("POST", "/v1/charges/*"): "ChargeUpdate",
    ("GET", "/v1/checkout/sessions"): "checkout.SessionList",
    ("GET", "/v1/checkout/sessions/*"): "checkout.SessionRetrieve",
    ("POST", "/v1/checkout/sessions/*/expire"): "checkout.SessionExpire",
    ("GET", "/v1/credit_notes"): "CreditNoteList",
    ("GET", "/v1/customers"): "CustomerList",
    ("GET", "/v1/customers/search"): "CustomerSearch",
    ("GET", "/v1/customers/*"): "CustomerRetrieve",
    ("POST", "/v1/customers/*"): "CustomerUpdate",
    ("DELETE", "/v1/customers/*"): "CustomerDelete",
    ("GET", "/v1/customers/*/balance_transactions"): "CustomerBalanceTransactionList",
    ("GET", "/v1/customers/*/payment_methods"): "CustomerPaymentMethodList",
    ("GET", "/v1/customers/*/sources"): "CustomerPaymentSourceList",
    ("DELETE", "/v1/customers/*/sources/*"): "CustomerPaymentSourceDelete",
    ("GET", "/v1/customers/*/tax_ids"): "CustomerTaxIdList",
    ("DELETE", "/v1/customers/*/tax_ids/*"): "CustomerTaxIdDelete",
    ("GET", "/v1/disputes"): "DisputeList",
    ("GET", "/v1/invoice_payments"): "InvoicePaymentList",
    ("GET", "/v1/invoiceitems"): "InvoiceItemList",
    ("GET", "/v1/invoices"): "InvoiceList",
    ("GET", "/v1/invoices/*"): "InvoiceRetrieve",
    ("DELETE", "/v1/invoices/*"): "InvoiceDelete",
    ("POST", "/v1/invoices/*/finalize"): "InvoiceFinalizeInvoice",
    ("POST", "/v1/invoices/*/pay"): "InvoicePay",
    ("POST", "/v1/invoices/*/void"): "InvoiceVoidInvoice",
    ("GET", "/v1/payment_intents"): "PaymentIntentList",
    ("GET", "/v1/payment_intents/*"): "PaymentIntentRetrieve",
    ("POST", "/v1/payment_intents/*"): "PaymentIntentUpdate",
    ("POST", "/v1/payment_intents/*/cancel"): "PaymentIntentCancel",
    ("POST", "/v1/payment_methods/*"): "PaymentMethodUpdate",
    ("POST", "/v1/payment_methods/*/detach"): "PaymentMethodDetach",
    ("GET", "/v1/refunds"): "RefundList",
    ("GET", "/v1/setup_intents"): "SetupIntentList",
    ("POST", "/v1/setup_intents/*/cancel"): "SetupIntentCancel",
    ("GET", "/v1/subscription_schedules"): "SubscriptionScheduleList",
    ("POST", "/v1/subscription_schedules/*/cancel"): "SubscriptionScheduleCancel",
    ("GET", "/v1/subscriptions"): "SubscriptionList",
    ("GET", "/v1/subscriptions/*"): "SubscriptionRetrieve",
    ("DELETE", "/v1/subscriptions/*"): "SubscriptionCancel",
}
"""Every request of ours outside the redaction preview, and the params type Stripe publishes for it."""


class _Names(dict[str, Any]):
    """The names a Stripe annotation may use, wherever its module would import them from."""

    def __init__(self, owner: Any) -> None:
        super().__init__({k: v for c in owner.__mro__ for k, v in vars(c).items() if isinstance(v, type)})
        self["UntypedStripeObject"] = UntypedStripeObject

    def __missing__(self, name: str) -> Any:
        for place in (typing, stripe, stripe.billing, stripe.checkout, stripe.test_helpers):
            for word in (name, name.removesuffix("Resource")):
                if hasattr(place, word):
                    return getattr(place, word)
        return Any


@cache
def _hints(owner: Any) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for part in reversed(owner.__mro__):
        module = {k: v for k, v in vars(sys.modules[part.__module__]).items() if not k.startswith("__")}
        for name, text in inspect.get_annotations(part).items():
            if name.startswith("_") or name.isupper():
                continue
            hints[name] = _evaluated(text, module, owner)
    return hints


def _evaluated(text: Any, module: dict[str, Any], owner: Any) -> Any:
    holder: Any = types.SimpleNamespace(__annotations__={"x": text})
    return typing.get_type_hints(holder, module, _Names(owner))["x"]


def problems(body: Mapping[str, Any], kind: str = "") -> list[str]:
    """Return what is wrong with an object as the stand-in shows it; a deleted one has three fields only."""
    name = kind or str(body.get("object"))
    if body.get("deleted") is True:
        return [] if set(body) == {"id", "object", "deleted"} else [f"{name}: a deleted object with more fields"]
    return list(_object(body, CLASSES[name], name))


def _object(body: Any, owner: Any, path: str) -> Iterator[str]:
    if not isinstance(body, Mapping):
        yield f"{path}: not an object"
        return
    hints = _hints(owner)
    for name in sorted(set(body) - set(hints)):
        yield f"{path}.{name}: Stripe has no such field"
    for name, hint in hints.items():
        if name in body:
            yield from _value(body[name], hint, f"{path}.{name}")
        elif not _optional(hint):
            yield f"{path}.{name}: missing"


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _value(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return
    if origin in (Union, types.UnionType):
        found = [list(_value(value, a, path)) for a in arguments]
        if all(found):
            yield max((p for some in found for p in some), key=lambda p: p.partition(":")[0].count("."))
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: not a listed word"
    elif origin in (list, ListObject, SearchResultObject):
        yield from _rows(value, origin, arguments, path)
    elif (
        origin in (dict,)
        or (isinstance(hint, type) and hint.__name__ == "UntypedStripeObject")
        or (origin is not None and getattr(origin, "__name__", "") == "UntypedStripeObject")
    ):
        if not isinstance(value, Mapping):
            yield f"{path}: not an object"
    elif isinstance(hint, type) and issubclass(hint, StripeObject):
        yield from _object(value, hint, path)
    elif hint is float or hint is Decimal:
        if not isinstance(value, (int, float, str)):
            yield f"{path}: not a number"
    elif isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        yield f"{path}: {type(value).__name__}, not {hint.__name__}"


def _rows(value: Any, origin: Any, arguments: tuple[Any, ...], path: str) -> Iterator[str]:
    rows = value
    if origin is not list:
        if not isinstance(value, Mapping) or not {"object", "url", "has_more", "data"} <= set(value):
            yield f"{path}: not a list object"
            return
        rows = value["data"]
    if not isinstance(rows, list):
        yield f"{path}: not a list"
        return
    for number, row in enumerate(rows):
        yield from _value(row, arguments[0], f"{path}[{number}]")


# -- requests ----------------------------------------------------------------------------------------------------------
def unknown_parameters(method: str, path: str, form: Mapping[str, Any]) -> list[str]:
    """Return the parameters of a request that Stripe's own params type does not have, and values it does not take."""
    pattern = _pattern(method, path)
    if pattern is None:
        return [f"{method} {path}: not a request Stripe publishes"]
    name = PARAMETERS[method, pattern]
    owner = _params(name)
    return [f"{method} {pattern}: {p}" for p in _fits(form, owner, "")]


def _pattern(method: str, path: str) -> str | None:
    exact = [(m, p) for m, p in PARAMETERS if m == method and p == path]
    if exact:
        return path
    for asked, pattern in PARAMETERS:
        if asked == method and re.fullmatch(pattern.replace("*", "[^/]+"), path):
            return pattern
    return None


def _params(name: str) -> Any:
    place, _, word = name.rpartition(".")
    module: Any = __import__(f"stripe.params.{place}" if place else "stripe.params", fromlist=["x"])
    return getattr(module, f"{word}Params")


def _fits(form: Any, owner: Any, path: str) -> Iterator[str]:
    if not isinstance(form, Mapping):
        yield f"{path}: not an object"
        return
    hints = _hints(owner)
    for name, value in form.items():
        where = f"{path}[{name}]" if path else name
        if name not in hints:
            yield f"{where} is no parameter"
        else:
            yield from _taken(value, hints[name], where)
    for name in getattr(owner, "__required_keys__", ()):
        hint = owner.__annotations__.get(name)
        if name not in form and "NotRequired" not in str(hint) and name in vars(owner).get("__annotations__", {}):
            yield f"{path or 'request'} lacks {name}"


def _taken(value: Any, hint: Any, where: str) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if getattr(origin, "__name__", "") == "NotRequired" or str(origin).endswith("NotRequired"):
        yield from _taken(value, arguments[0], where)
    elif origin in (Union, types.UnionType):
        found = [list(_taken(value, a, where)) for a in arguments]
        if all(found):
            yield found[-1][0]
    elif origin is Literal:
        if value not in arguments:
            yield f"{where} does not take this word"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where} takes a list"
        else:
            for row in value:
                yield from _taken(row, arguments[0], where)
    elif origin is dict or getattr(origin or hint, "__name__", "") == "UntypedStripeObject":
        if not isinstance(value, Mapping):
            yield f"{where} takes an object"
    elif isinstance(hint, type) and hasattr(hint, "__annotations__") and issubclass(hint, dict):
        yield from _fits(value, hint, where)
    elif hint is bool:
        if value not in ("true", "false"):
            yield f"{where} takes true or false"
    elif hint is int:
        if not re.fullmatch(r"-?\d+", str(value)):
            yield f"{where} takes a whole number"
    elif hint is str and not isinstance(value, str):
        yield f"{where} takes text"
