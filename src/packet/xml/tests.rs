//! What the tree says of documents, and which documents it refuses.

use super::*;

fn parse(text: &str) -> Result<Document, XmlFault> {
    Document::parse(text.as_bytes(), &XmlLimits::envelope())
}

#[test]
fn names_are_resolved_and_text_is_joined() {
    let document = parse(
        "<?xml version='1.0'?>\n<a xmlns='urn:1' xmlns:p='urn:2' p:k='v&#xA;w' k=\"x\ty\">\
               one<![CDATA[ <two> ]]>&amp;<p:b xmlns=''><c/></p:b><!-- no -->three</a>\n",
    )
    .unwrap();
    let root = document.root();
    assert!(root.is("urn:1", "a"));
    assert_eq!(root.attribute("urn:2", "k"), Some("v\nw"), "referenced white space stays");
    assert_eq!(root.attribute("", "k"), Some("x y"), "literal white space becomes spaces");
    assert_eq!(root.attribute("urn:1", "k"), None, "the default namespace does not reach attributes");
    assert_eq!(root.text(), "one <two> &three");
    let b = root.child("urn:2", "b").unwrap();
    let c = b.child("", "c").expect("xmlns='' undeclares the default");
    assert_eq!(c.parent(), Some(b));
    assert_eq!(root.descendants().map(Element::name).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((c.bound("p"), c.bound(""), c.bound("q")), (Some("urn:2"), Some(""), None));
    assert_eq!(root.only_child("urn:2", "b"), Some(b));
    assert_eq!(root.parent(), None);
}

#[test]
fn line_ends_are_normalised_but_references_to_them_are_kept() {
    let document = parse("<a b='1\r\n2&#xD;3'>\r\nx\r&#13;</a>").unwrap();
    assert_eq!(document.root().text(), "\nx\n\r");
    assert_eq!(document.root().attribute("", "b"), Some("1 2\r3"), "one line end is one space");
}

#[test]
fn entities_and_type_declarations_are_refused() {
    assert_eq!(parse("<!DOCTYPE a><a/>").unwrap_err(), XmlFault::Dtd);
    assert_eq!(parse("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>").unwrap_err(), XmlFault::Dtd);
    assert!(matches!(parse("<a>&nbsp;</a>").unwrap_err(), XmlFault::Entity(_)));
    assert!(matches!(parse("<a b='&x;'/>").unwrap_err(), XmlFault::Entity(_)));
    assert!(matches!(parse("<a>&#0;</a>").unwrap_err(), XmlFault::Entity(_)));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for wrong in [
        "",
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>text",
        "text<a/>",
        "<a><b></a></b>",
        "<a",
        "<>",
        "< a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a>]]></a>",
        "<a>&</a>",
        "<a>& b;</a>",
        "<1a/>",
        "<a:b:c/>",
        "<a></a b='1'>",
        "<!-- a -- b --><a/>",
        "<!-- a ---><a/>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
        "<?xml?><a/>",
        "<?xml encoding='UTF-8' version='1.0'?><a/>",
        "<?xml version='2.0'?><a/>",
        "<?XML version='1.0'?><a/>",
        "<![CDATA[x]]><a/>",
        "<a/>&amp;",
        "<a/><![CDATA[]]>",
        "<!ELEMENT a ANY><a/>",
        "<a\u{A0}b='1'/>",
        "<a>\u{FFFE}</a>",
        "<a b='1' / >",
        "<a/ >",
        "<?p:q x?><a/>",
        "<a><![cdata[x]]></a>",
    ] {
        let fault = parse(wrong).expect_err(wrong);
        assert!(matches!(fault, XmlFault::Malformed(_) | XmlFault::Entity(_)), "{wrong:?} gave {fault:?}");
    }
}

#[test]
fn what_breaks_namespaces_is_refused() {
    for wrong in [
        "<p:a/>",
        "<a p:b='1'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xml='urn:x'/>",
        "<a xmlns:xmlns='urn:x'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<xmlns:a/>",
    ] {
        assert!(
            matches!(parse(wrong), Err(XmlFault::Namespace(_))),
            "{wrong:?} gave {:?}",
            parse(wrong).err()
        );
    }
    for wrong in [
        "<a b='1' b='2'/>",
        "<a xmlns='urn:1' xmlns='urn:1'/>",
        "<a xmlns:p='urn:1' xmlns:q='urn:1' p:b='1' q:b='2'/>",
        "<a xmlns:p='urn:1' xmlns:p='urn:1'/>",
    ] {
        assert!(
            matches!(parse(wrong), Err(XmlFault::DuplicateAttribute(_))),
            "{wrong:?} repeats an attribute"
        );
    }
    assert!(parse("<a xml:lang='en' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>").is_ok());
    assert!(parse("<a xmlns:p='urn:1' b='1' p:b='2'/>").is_ok(), "same local name, other namespace");
}

#[test]
fn a_byte_order_mark_and_a_declaration_may_begin_it() {
    let document =
        parse("\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes' ?><!-- c --><a/><?p q r?>")
            .unwrap();
    assert!(document.has_comments() && document.has_instructions());
    assert_eq!(document.nodes().count(), 3, "the XML declaration is no node");
    match document.nodes().last() {
        Some(Node::Instruction { target, text }) => assert_eq!((target, text), ("p", "q r")),
        _ => panic!("the last node is an instruction"),
    }
}

#[test]
fn each_budget_is_kept() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(parse(&deep(64)).is_ok());
    assert_eq!(parse(&deep(65)).unwrap_err(), XmlFault::Depth);
    let many = |count: usize| format!("<r>{}</r>", "<a/>".repeat(count));
    assert!(parse(&many(9_999)).is_ok());
    assert_eq!(parse(&many(10_000)).unwrap_err(), XmlFault::Nodes);
    let redeclared = |count: usize| format!("<r>{}</r>", "<a xmlns='urn:x'/>".repeat(count));
    assert!(parse(&redeclared(256)).is_ok());
    assert_eq!(parse(&redeclared(257)).unwrap_err(), XmlFault::Declarations);
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(parse(&format!("<a{attributes}/>")).unwrap_err(), XmlFault::Attributes);
    assert_eq!(parse(&format!("<a b='{}'/>", "x".repeat(65 << 10))).unwrap_err(), XmlFault::AttributeOctets);
    assert_eq!(parse(&format!("<a>{}</a>", "x".repeat(4 << 20))).unwrap_err(), XmlFault::Octets);
    let comments = format!("<a>{}</a>", "<!---->".repeat(30_000));
    assert_eq!(parse(&comments).unwrap_err(), XmlFault::Nodes);
}

#[test]
fn mutated_and_truncated_documents_never_panic() {
    let whole = "<?xml version='1.0' encoding='UTF-8'?><!-- c --><a xmlns='urn:1' xmlns:p='urn:2' p:k='v&#xA;'>\
                 one<![CDATA[<two>]]>&amp;<p:b xmlns=''/><?pi x?>\u{E9}</a>";
    let octets = whole.as_bytes();
    let mut seed = 0x9E37_79B9_u32;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    };
    for end in 0..octets.len() {
        assert!(Document::parse(&octets[..end], &XmlLimits::envelope()).is_err(), "cut at {end}");
    }
    let mut read = 0;
    for _ in 0..20_000 {
        let mut changed = octets.to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() as usize % changed.len();
            match random() % 3 {
                0 => changed[at] = (random() & 0xFF) as u8,
                1 => changed[at] = b"<>&;'\"/!?-[]=: x"[random() as usize % 16],
                _ => drop(changed.remove(at)),
            }
        }
        read += usize::from(Document::parse(&changed, &XmlLimits::envelope()).is_ok());
    }
    assert!(read > 100, "some changes leave a document: {read}");
}
