//! The data types of HL7, as far as an extract has them.

use super::*;

const NULL: Attribute =
    may("nullFlavor", Form::Of(&["NI", "NA", "UNK", "NASK", "ASKU", "NAV", "OTH", "PINF", "NINF"]));
const CODED: [Attribute; 6] = [
    NULL,
    may("code", Form::Token),
    may("codeSystem", Form::Uid),
    may("codeSystemName", Form::Words),
    may("codeSystemVersion", Form::Words),
    may("displayName", Form::Words),
];
const MEDIA: [Attribute; 3] =
    [NULL, may("mediaType", Form::Token), may("representation", Form::Of(&["TXT", "B64"]))];
const USE: [Attribute; 3] = [NULL, may("value", Form::Free), may("use", Form::Free)];

shape!(
    II,
    [NULL, may("root", Form::Uid), may("extension", Form::Words), may("assigningAuthorityName", Form::Words)],
    []
);
shape!(CS, [NULL, must("code", Form::Token)], []);
shape!(CD, CODED, [maybe("originalText", &ED), many("qualifier", &CR), many("translation", &CD)]);
shape!(CE, CODED, [maybe("originalText", &ED), many("translation", &CD)]);
shape!(CV, CODED, [maybe("originalText", &ED)]);
shape!(CR, [NULL, may("inverted", TRUTH)], [maybe("name", &CV), maybe("value", &CD)]);
shape!(TS, [NULL, may("value", Form::Time)], []);
shape!(BOUND, [NULL, may("value", Form::Time), may("inclusive", TRUTH)], []);
shape!(
    IVL_TS,
    Interval,
    No,
    [NULL, may("value", Form::Time)],
    [maybe("center", &TS), maybe("low", &BOUND), maybe("high", &BOUND)]
);
shape!(ED, Listed, Yes, MEDIA, [maybe("reference", &TEL)]);
shape!(INT, [NULL, may("value", Form::Whole)], []);
shape!(BL, [NULL, may("value", TRUTH)], []);
shape!(PQ, QUANTITY, [many("translation", &PQR)]);
shape!(
    PQR,
    [
        NULL,
        may("value", Form::Real),
        may("code", Form::Token),
        may("codeSystem", Form::Uid),
        may("displayName", Form::Words)
    ],
    [maybe("originalText", &ED)]
);
shape!(
    IVL_PQ,
    Interval,
    No,
    [NULL, may("operator", Form::Of(&["I", "E", "A", "H", "P"])), may("xsi:type", Form::Token)],
    [maybe("center", &PQ), maybe("low", &LIMIT), maybe("high", &LIMIT)]
);
shape!(
    LIMIT,
    [NULL, may("value", Form::Real), may("unit", Form::Token), may("inclusive", TRUTH)],
    [many("translation", &PQR)]
);
shape!(TEL, USE, [many("useablePeriod", &IVL_TS)]);
shape!(PART_OF, Free, Yes, [NULL], []);
shape!(
    AD,
    Free,
    Yes,
    [NULL, may("use", Form::Free)],
    [
        many("streetAddressLine", &PART_OF),
        many("postalCode", &PART_OF),
        many("addressKey", &PART_OF),
        many("desc", &PART_OF),
        many("city", &PART_OF),
        many("country", &PART_OF),
    ]
);
shape!(
    EN,
    Free,
    Yes,
    [NULL, may("use", Form::Free)],
    [many("prefix", &PART_OF), many("given", &PART_OF), many("family", &PART_OF), many("suffix", &PART_OF),]
);
const QUANTITY: [Attribute; 3] = [NULL, may("value", Form::Real), may("unit", Form::Token)];
shape!(
    TYPED_PQ,
    [NULL, must("xsi:type", Form::Token), may("value", Form::Real), may("unit", Form::Token)],
    [many("translation", &PQR)]
);
shape!(
    TYPED_TEXT,
    Listed,
    Yes,
    [NULL, must("xsi:type", Form::Token), may("mediaType", Form::Token)],
    [maybe("reference", &TEL)]
);
shape!(
    TYPED_CODE,
    TYPED_CODED,
    [maybe("originalText", &ED), many("qualifier", &CR), many("translation", &CD)]
);
const TYPED_CODED: [Attribute; 5] = [
    NULL,
    must("xsi:type", Form::Token),
    may("code", Form::Token),
    may("codeSystem", Form::Uid),
    may("displayName", Form::Words),
];
shape!(
    VALUE,
    ByType,
    No,
    [],
    [
        maybe("PQ", &TYPED_PQ),
        maybe("IVL_PQ", &IVL_PQ),
        maybe("ST", &TYPED_TEXT),
        maybe("ED", &TYPED_TEXT),
        maybe("CD", &TYPED_CODE),
        maybe("CE", &TYPED_CODE),
        maybe("CV", &TYPED_CODE),
    ]
);
shape!(STATUS, [NULL, must("code", Form::Of(&["COMPLETE", "ACTIVE"]))], []);
