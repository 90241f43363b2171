"""People as Salesforce holds them: identifiers, the objects and fields of the pretend organisation, and one person's
rows.

Salesforce ids are 15 case-sensitive characters (three of them the object's key prefix) plus three that carry the
case, so that the 18-character form can be compared without it (Object Reference, "ID Field Type")."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

PREFIXES = {
    "Account": "001", "Note": "002", "Contact": "003", "User": "005", "Opportunity": "006", "Lead": "00Q",
    "OpportunityContactRole": "00K", "Attachment": "00P", "Task": "00T", "Event": "00U", "CaseComment": "00a",
    "CampaignMember": "00v", "EmailMessage": "02s", "ContentDocumentLink": "06A", "ContentDocument": "069",
    "AccountContactRelation": "07k", "FeedItem": "0D5", "Individual": "0PK", "Case": "500", "Campaign": "701",
    "ContactHistory": "017", "LeadHistory": "017", "CaseHistory": "017", "AccountHistory": "017",
    "Survey_Response__History": "017",
    "AccountContactRole": "02Z", "CaseContactRole": "03j", "EmailMessageRelation": "0Ez", "ContactPointEmail": "9Vl",
    "Survey_Response__c": "a00", "Referral__c": "a01", "Booking__c": "a02", "Mail_Settings__c": "a03",
}  # fmt: skip
"""Key prefixes of the objects this organisation has."""

VARIANTS = 8
"""How many shapes of a person `seed_person` knows; the last one is a person Salesforce has never heard of."""


def to_18(identifier: str) -> str:
    """Return the 18-character form of a 15-character id; one that is already longer comes back unchanged."""
    if len(identifier) != 15:
        return identifier
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    return identifier + "".join(
        letters[sum(1 << bit for bit, character in enumerate(identifier[part : part + 5]) if character.isupper())]
        for part in (0, 5, 10)
    )


def make_id(kind: str, *seed: object) -> str:
    """Return the same well-formed id for the same seed."""
    number = int.from_bytes(hashlib.sha256("|".join(map(str, (kind, *seed))).encode()).digest()[:16], "big")
    body = ""
    for _ in range(12):
        number, digit = divmod(number, 62)
        body += BASE62[digit]
    return to_18(PREFIXES[kind] + body)


class _Rows:
    """Collects one person's rows; `add` gives each its id and the fields every row has."""

    def __init__(self, account_id: str, on: dt.date) -> None:
        self.account_id, self.on = account_id, on
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, kind: str, which: str = "", **fields: Any) -> str:
        identifier = make_id(kind, self.account_id, which)
        moment = f"{self.on.isoformat()}T03:00:00.000+0000"
        row = {"id": identifier, "CreatedDate": moment, "SystemModstamp": moment, "IsDeleted": False, **fields}
        self.rows.setdefault(kind, []).append(row)
        return identifier

    def shared(self, kind: str, name: str, **fields: Any) -> str:
        """Add a row that many people may refer to: the id comes from its name, so seeding it again changes nothing."""
        identifier = make_id(kind, name)
        self.rows.setdefault(kind, []).append({"id": identifier, "Name": name, "IsDeleted": False, **fields})
        return identifier


def seed_person(
    *, number: int, account_id: str, email: str, name: str, company: str | None, on: dt.date, variant: int
) -> dict[str, list[dict[str, Any]]]:
    """Return one person's rows by object, ready for `POST /_sandbox/seed`; the same arguments give the same bytes.

    `variant` (modulo `VARIANTS`) picks the shape:

    | variant | the person is |
    |---|---|
    | 0 | a contact of a company: case, comment, e-mail, task, campaign, opportunity role, history |
    | 1 | a person account (a contact of `company` when there is one) with a case and an event |
    | 2 | an unconverted lead with a campaign and an archived task |
    | 3 | a contact and its converted lead, an individual, an own and a shared file, an attachment |
    | 4 | a contact; a web case, an e-mail and an unkeyed lead (in capitals) that carry only the address |
    | 5 | a contact, a custom object, a duplicate in the recycle bin and one merged into the contact |
    | 6 | two contacts with our key, one with the address; archived task, event, note, feed item |
    | 7 | not in Salesforce |

    `AccountKey__c` on Contact, Lead and person accounts is our own account id. A company's Account never carries it:
    it stays."""
    rows, shape = _Rows(account_id, on), variant % VARIANTS
    last_name = name or "Person"
    keyed = {
        "LastName": last_name,
        "Name": last_name,
        "AccountKey__c": account_id,
        "Phone": f"010-0000-{number % 10000:04d}",
    }
    builders = {
        0: _employee,
        1: _consumer,
        2: _prospect,
        3: _converted,
        4: _web_customer,
        5: _duplicates,
        6: _two_contacts,
    }
    if shape in builders:
        builders[shape](rows, keyed, email, company)
    return rows.rows


def _company(rows: _Rows, company: str | None) -> str:
    return rows.shared("Account", company or "Sample Company", IsPersonAccount=False, Website="https://example.com")


def _campaign(rows: _Rows, who: dict[str, str], which: str = "") -> None:
    campaign = rows.shared("Campaign", "Sample Newsletter")
    rows.add("CampaignMember", which, CampaignId=campaign, Status="Sent", **who)


def _case(rows: _Rows, email: str, which: str = "", **fields: Any) -> str:
    case = rows.add("Case", which, Subject="Help with the product", Description="A question", Status="Closed", **fields)
    rows.add("CaseComment", which, ParentId=case, CommentBody="An answer")
    rows.add(
        "EmailMessage", which, ParentId=case, RelatedToId=case, FromAddress=email, ToAddress="help@example.com",
        Subject="Help", TextBody="A question", Status="0",
    )  # fmt: skip
    return case


def _contact(
    rows: _Rows, keyed: dict[str, Any], email: str, company: str | None, which: str = "", **fields: Any
) -> str:
    account = _company(rows, company)
    return rows.add(
        "Contact", which, **{**keyed, "Email": email, "AccountId": account, "IsPersonAccount": False, **fields}
    )


def _employee(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    contact = _contact(rows, keyed, email, company)
    _case(rows, email, ContactId=contact, AccountId=_company(rows, company))
    rows.add("Task", WhoId=contact, WhatId=None, Subject="Call back", Description="Talked", IsArchived=False)
    _campaign(rows, {"ContactId": contact})
    opportunity = rows.shared(
        "Opportunity", f"Renewal of {company or 'Sample Company'}", AccountId=_company(rows, company)
    )
    rows.add("OpportunityContactRole", ContactId=contact, OpportunityId=opportunity, Role="Decision Maker")
    rows.add("ContactHistory", ContactId=contact, Field="Phone", OldValue="010-0000-0000", NewValue=keyed["Phone"])


def _consumer(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    if company:
        contact = _contact(rows, keyed, email, company)
        _case(rows, email, ContactId=contact, AccountId=_company(rows, company))
    else:
        contact = make_id("Contact", rows.account_id, "twin")
        account = rows.add(
            "Account",
            "person",
            **keyed,
            IsPersonAccount=True,
            PersonEmail=email,
            PersonContactId=contact,
            Type="Customer",
        )
        rows.add("Contact", "twin", **{**keyed, "Email": email, "AccountId": account, "IsPersonAccount": True})
        _case(rows, email, ContactId=contact, AccountId=account)
    rows.add("Event", WhoId=contact, WhatId=None, Subject="Demonstration", Description="Shown", IsArchived=False)


def _prospect(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    lead = rows.add("Lead", **keyed, Email=email, Company=company or "None", IsConverted=False, Status="Open")
    _campaign(rows, {"LeadId": lead})
    rows.add("Task", WhoId=lead, WhatId=None, Subject="First call", Description="Asked", IsArchived=True)


def _converted(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    individual = rows.add("Individual", LastName=keyed["LastName"], ShouldForget=False)
    contact = _contact(rows, keyed, email, company, IndividualId=individual)
    lead = rows.add(
        "Lead", **keyed, Email=email, Company=company or "None", IsConverted=True, ConvertedContactId=contact,
        IndividualId=individual, Status="Closed - Converted",
    )  # fmt: skip
    _campaign(rows, {"LeadId": lead, "ContactId": contact})
    own = rows.add("ContentDocument", "own", Title="Signed form", FileExtension="pdf")
    rows.add("ContentDocumentLink", "own", ContentDocumentId=own, LinkedEntityId=contact, ShareType="V")
    brochure = rows.shared("ContentDocument", "Sample Brochure", Title="Sample Brochure", FileExtension="pdf")
    rows.add("ContentDocumentLink", "brochure", ContentDocumentId=brochure, LinkedEntityId=contact, ShareType="V")
    company_id = _company(rows, company)
    rows.rows["ContentDocumentLink"].append(
        {
            "id": make_id("ContentDocumentLink", "brochure", company_id),
            "IsDeleted": False,
            "ContentDocumentId": brochure,
            "LinkedEntityId": company_id,
            "ShareType": "V",
        }
    )
    rows.add("Attachment", ParentId=contact, Name="scan.pdf", ContentType="application/pdf")


def _web_customer(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    _contact(rows, keyed, email, company)
    _case(
        rows, email, "web", ContactId=None, AccountId=None, SuppliedEmail=email, SuppliedName=keyed["LastName"],
        SuppliedPhone=keyed["Phone"], Origin="Web",
    )  # fmt: skip
    rows.add(
        "EmailMessage",
        "copy",
        ParentId=None,
        RelatedToId=None,
        FromAddress="help@example.com",
        ToAddress="sales@example.com",
        CcAddress=f"office@example.com; {email}",
        Subject="Offer",
        TextBody="Dear customer",
        Status="3",
    )
    lead = rows.add(
        "Lead", "web", LastName=keyed["LastName"], Name=keyed["LastName"], Email=email.upper(), Company="Unknown",
        IsConverted=False, Status="Open", AccountKey__c=None,
    )  # fmt: skip
    _campaign(rows, {"LeadId": lead})


def _duplicates(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    contact = _contact(rows, keyed, email, company)
    rows.add("Survey_Response__c", Name="SR-1", Contact__c=contact, Email__c=email, Answer__c="Very good")
    binned = f"{rows.on.isoformat()}T04:00:00.000+0000"
    for which, master in (("binned", None), ("merged", contact)):
        _contact(rows, keyed, email, company, which, IsDeleted=True, MasterRecordId=master, SystemModstamp=binned)
    rows.add("ContactHistory", ContactId=contact, Field="LastName", OldValue="Old", NewValue=keyed["LastName"])
    _campaign(rows, {"ContactId": contact})


def _two_contacts(rows: _Rows, keyed: dict[str, Any], email: str, company: str | None) -> None:
    first = _contact(rows, keyed, email, company)
    second = _contact(rows, keyed, email, company, "second", Email=None)
    rows.add("Task", WhoId=second, WhatId=None, Subject="Old call", Description="Talked", IsArchived=True)
    rows.add("Event", WhoId=first, WhatId=None, Subject="Visit", Description="Met", IsArchived=False)
    rows.add("Note", ParentId=first, Title="Prefers mornings", Body="Said so")
    rows.add("FeedItem", ParentId=second, Body="Spoke on the phone", Type="TextPost")
    rows.add("AccountContactRelation", ContactId=first, AccountId=_company(rows, company))
