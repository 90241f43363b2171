"""The objects and fields of the pretend Salesforce organisation, and what happens to children when a parent goes.

Only what a query may name is listed; a field that is not here answers `INVALID_FIELD`, as the real API does.
"""

from __future__ import annotations

from typing import Any

from include.sandbox._salesforce.people import PREFIXES

COMMON = {
    "Id": "id",
    "IsDeleted": "boolean",
    "CreatedDate": "datetime",
    "SystemModstamp": "datetime",
    "LastModifiedDate": "datetime",
}
PERSON_ACCOUNT_FIELDS = frozenset({"IsPersonAccount", "PersonEmail", "PersonContactId", "PersonIndividualId"})
ACTIVITY = {
    "WhoId": ("Contact", "Lead"), "WhatId": ("Account", "Case", "Opportunity"), "Subject": "string",
    "Description": "textarea", "IsArchived": "boolean", "OwnerId": ("User",),
}  # fmt: skip
HISTORY = {"Field": "picklist", "OldValue": "anyType", "NewValue": "anyType"}

FIELDS: dict[str, dict[str, Any]] = {
    "Account": {
        "Name": "string",
        "Phone": "phone",
        "Website": "url",
        "Type": "picklist",
        "AccountKey__c": "string",
        "LastName": "string",
        "IsPersonAccount": "boolean",
        "PersonEmail": "email",
        "Billing_Email__c": "email",
        "PersonContactId": ("Contact",),
        "PersonIndividualId": ("Individual",),
        "MasterRecordId": ("Account",),
    },
    "Contact": {
        "Name": "string",
        "LastName": "string",
        "FirstName": "string",
        "Email": "email",
        "Phone": "phone",
        "MobilePhone": "phone",
        "AccountId": ("Account",),
        "IndividualId": ("Individual",),
        "AccountKey__c": "string",
        "Second_Email__c": "email",
        "IsPersonAccount": "boolean",
        "MasterRecordId": ("Contact",),
    },
    "Lead": {
        "Name": "string",
        "LastName": "string",
        "FirstName": "string",
        "Email": "email",
        "Phone": "phone",
        "Company": "string",
        "Status": "picklist",
        "IsConverted": "boolean",
        "ConvertedContactId": ("Contact",),
        "ConvertedAccountId": ("Account",),
        "IndividualId": ("Individual",),
        "AccountKey__c": "string",
        "MasterRecordId": ("Lead",),
    },
    "Case": {
        "ContactId": ("Contact",),
        "AccountId": ("Account",),
        "SuppliedEmail": "email",
        "ContactEmail": "email",
        "ContactPhone": "phone",
        "SuppliedName": "string",
        "SuppliedPhone": "string",
        "Subject": "string",
        "Description": "textarea",
        "Status": "picklist",
        "Origin": "picklist",
        "MasterRecordId": ("Case",),
    },
    "CaseComment": {"ParentId": ("Case",), "CommentBody": "textarea"},
    "EmailMessage": {
        "ParentId": ("Case",),
        "RelatedToId": ("Account", "Contact", "Case", "Opportunity"),
        "FromAddress": "email",
        "FromName": "string",
        "ToAddress": "string",
        "CcAddress": "string",
        "BccAddress": "string",
        "Subject": "string",
        "TextBody": "textarea",
        "Status": "picklist",
        "IsExternallyVisible": "boolean",
    },
    "Task": ACTIVITY,
    "Event": ACTIVITY,
    "Campaign": {"Name": "string"},
    "CampaignMember": {
        "CampaignId": ("Campaign",),
        "ContactId": ("Contact",),
        "LeadId": ("Lead",),
        "Status": "picklist",
    },
    "Opportunity": {"Name": "string", "AccountId": ("Account",)},
    "OpportunityContactRole": {"ContactId": ("Contact",), "OpportunityId": ("Opportunity",), "Role": "picklist"},
    "AccountContactRelation": {"ContactId": ("Contact",), "AccountId": ("Account",)},
    "ContentDocument": {"Title": "string", "FileExtension": "string"},
    "ContentDocumentLink": {
        "ContentDocumentId": ("ContentDocument",),
        "LinkedEntityId": ("Account", "Contact", "Lead", "Case"),
        "ShareType": "picklist",
    },
    "Attachment": {
        "ParentId": ("Account", "Contact", "Lead", "Case", "EmailMessage"),
        "Name": "string",
        "ContentType": "string",
    },
    "Note": {"ParentId": ("Account", "Contact", "Lead"), "Title": "string", "Body": "textarea"},
    "FeedItem": {"ParentId": ("Account", "Contact", "Lead", "Case"), "Body": "textarea", "Type": "picklist"},
    "Individual": {"LastName": "string", "FirstName": "string", "BirthDate": "date", "ShouldForget": "boolean"},
    "User": {"ContactId": ("Contact",), "IsActive": "boolean", "Username": "string", "Email": "email"},
    "ContactHistory": {"ContactId": ("Contact",), **HISTORY},
    "LeadHistory": {"LeadId": ("Lead",), **HISTORY},
    "Survey_Response__History": {"ParentId": ("Survey_Response__c",), **HISTORY},
    "CaseHistory": {"CaseId": ("Case",), **HISTORY},
    "AccountHistory": {"AccountId": ("Account",), **HISTORY},
    "AccountContactRole": {"ContactId": ("Contact",), "AccountId": ("Account",), "Role": "picklist"},
    "CaseContactRole": {"ContactId": ("Contact",), "CasesId": ("Case",), "Role": "picklist"},
    "EmailMessageRelation": {
        "EmailMessageId": ("EmailMessage",),
        "RelationId": ("Contact", "Lead", "User"),
        "RelationType": "picklist",
        "RelationAddress": "string",
    },
    "ContactPointEmail": {"ParentId": ("Account", "Individual"), "EmailAddress": "email"},
    "Referral__c": {"Name": "string", "Referrer__c": ("Contact",), "Referred__c": ("Contact", "Lead")},
    "Booking__c": {"Name": "string", "Guest__c": ("Contact",), "Guest_Phone__c": "phone"},
    "Mail_Settings__c": {"Name": "string", "Sender__c": "email"},
    "Survey_Response__c": {"Name": "string", "Contact__c": ("Contact",), "Email__c": "email", "Answer__c": "textarea"},
}

NO_BULK = frozenset({"FeedItem"})
"""Objects the Bulk API does not take; they are deleted through REST and leave no recycle bin entry."""

RESTRICTED: dict[str, tuple[tuple[str, str], ...]] = {"Contact": (("Booking__c", "Guest__c"),)}
"""Custom look-ups that forbid deleting what they point to."""

UNDELETABLE = frozenset({"User", *(kind for kind in FIELDS if kind.endswith("History"))})

_PERSON_CHILDREN = (("Task", "WhoId"), ("Event", "WhoId"), ("Attachment", "ParentId"), ("Note", "ParentId"),
                    ("FeedItem", "ParentId"), ("ContentDocumentLink", "LinkedEntityId"))  # fmt: skip
CASCADES: dict[str, tuple[tuple[str, str], ...]] = {
    "Account": (("Contact", "AccountId"), ("Attachment", "ParentId"), ("Note", "ParentId"), ("FeedItem", "ParentId"),
                ("ContentDocumentLink", "LinkedEntityId"), ("Task", "WhatId"), ("Event", "WhatId")),
    "Contact": (*_PERSON_CHILDREN, ("CampaignMember", "ContactId"), ("OpportunityContactRole", "ContactId"),
                ("AccountContactRelation", "ContactId"), ("AccountContactRole", "ContactId"),
                ("CaseContactRole", "ContactId")),
    "Lead": (*_PERSON_CHILDREN, ("CampaignMember", "LeadId")),
    "Case": (("CaseComment", "ParentId"), ("EmailMessage", "ParentId"), ("Task", "WhatId"), ("Event", "WhatId"),
             ("Attachment", "ParentId"), ("FeedItem", "ParentId"), ("ContentDocumentLink", "LinkedEntityId")),
    "EmailMessage": (("Attachment", "ParentId"), ("EmailMessageRelation", "EmailMessageId")),
    "ContentDocument": (("ContentDocumentLink", "ContentDocumentId"),),
}  # fmt: skip
"""Children that go to the recycle bin, or for good, together with their parent."""

HISTORIES = {
    "Account": ("AccountHistory", "AccountId"),
    "Contact": ("ContactHistory", "ContactId"),
    "Lead": ("LeadHistory", "LeadId"),
    "Case": ("CaseHistory", "CaseId"),
}


def fields_of(kind: str, *, person_accounts: bool) -> dict[str, Any]:
    """Return the fields of an object; person-account columns exist only where the feature is on."""
    fields = {**COMMON, **FIELDS[kind]}
    return fields if person_accounts else {k: v for k, v in fields.items() if k not in PERSON_ACCOUNT_FIELDS}


def describe(kind: str, *, person_accounts: bool) -> dict[str, Any]:
    """Return the body of `GET sobjects/{kind}/describe`, cut to the keys this project reads."""
    fields = [
        {
            "name": name,
            "type": "reference" if isinstance(shape, tuple) else shape,
            "referenceTo": list(shape) if isinstance(shape, tuple) else [],
            "custom": name.endswith("__c"),
            "filterable": shape != "textarea",
            "nillable": name not in {"Id", "LastName"},
        }
        for name, shape in fields_of(kind, person_accounts=person_accounts).items()
    ]
    children = [
        {
            "childSObject": child,
            "field": name,
            "cascadeDelete": (child, name) in CASCADES.get(kind, ()),
            "restrictedDelete": (child, name) in {("Case", "ContactId"), *RESTRICTED.get(kind, ())},
            "relationshipName": None,
        }
        for child, shapes in FIELDS.items()
        for name, shape in shapes.items()
        if isinstance(shape, tuple) and kind in shape
    ]
    return {**summary(kind), "fields": fields, "childRelationships": children}


def summary(kind: str) -> dict[str, Any]:
    """Return one line of `GET sobjects`."""
    return {
        "name": kind,
        "keyPrefix": PREFIXES[kind],
        "custom": kind.endswith("__c"),
        "queryable": True,
        "customSetting": kind == "Mail_Settings__c",
        "deletable": kind not in UNDELETABLE,
        "updateable": not kind.endswith("History"),
    }
