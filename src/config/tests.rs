use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "test.toml")
}

fn refused(text: &str) -> ConfigError {
    parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"))
}

#[test]
fn an_empty_text_is_the_default() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn an_error_names_file_line_key_and_a_hint() {
    let e = refused("[catalog]\n\n[policy]\ncopes = 3\n");
    assert_eq!((e.line, &e.key[..], e.hint.as_deref()), (4, "policy.copes", Some("did you mean \"copies\"?")));
    assert_eq!(e.to_string(), "\"test.toml\" line 4: policy.copes: unknown key \"copes\"");
    let e = refused("\n[polcy]\n");
    assert_eq!((e.line, &e.key[..], e.hint.as_deref()), (2, "polcy", Some("did you mean \"policy\"?")));
    let e = refused("[policy]\ndistinct_devices = \"no\"\n");
    assert_eq!((e.line, &e.key[..]), (2, "policy.distinct_devices"));
    let e = refused("[[destination]]\npath = '/a'\n[[destination]]\npath = '/b'\ncolour = 1\n");
    assert_eq!((e.line, &e.key[..]), (5, "destination[1].colour"));
    assert_eq!(e.hint.as_deref(), Some("known here: name, path"));
    assert_eq!(refused("[policy]\ncopies = \n").line, 2);
}

#[test]
fn fewer_than_two_copies_are_refused() {
    for n in ["0", "1"] {
        let e = refused(&format!("[policy]\ncopies = {n}"));
        assert_eq!((e.line, &e.key[..]), (2, "policy.copies"));
    }
    assert!(parse("[policy]\ncopies = -2").is_err());
    assert_eq!(parse("[policy]\ncopies = 3").unwrap().policy.copies, 3);
}

#[test]
fn relaxations_are_off_until_named() {
    let c = parse("[policy]\ndistinct_devices = false\naccept_server = true\nsource_reread = false").unwrap();
    let r = c.policy.relaxed;
    assert!(r.same_device && r.accept_server && r.no_source_reread);
    let r = parse("[policy]\ncopies = 2").unwrap().policy.relaxed;
    assert!(!r.same_device && !r.accept_server && !r.no_source_reread);
}

#[test]
fn unknown_keys_are_refused_in_every_section() {
    let sections = ["catalog", "policy", "offload", "hash", "mhl", "verify", "media", "patrol"];
    for section in sections {
        assert_eq!(refused(&format!("[{section}]\nzzz = 1")).key, format!("{section}.zzz"));
    }
    for (section, need) in [
        ("destination", "path = '/a'"),
        ("watch", "path = '/a'"),
        ("device", "match = 'sda'\nkind = 'flash'"),
        ("proxy", "preset = 'web'"),
        ("look", "name = 'a'\nwatermark = 'b'"),
    ] {
        assert!(parse(&format!("[[{section}]]\n{need}")).is_ok(), "{section}");
        assert_eq!(refused(&format!("[[{section}]]\n{need}\nzzz = 1")).key, format!("{section}[0].zzz"));
    }
    assert_eq!(refused("[notify]\ncommand = ['a']\nzzz = 1").key, "notify.zzz");
}

#[test]
fn what_is_not_built_is_refused_with_a_sentence() {
    let web = refused("[web]\nlisten = '127.0.0.1:80'");
    assert!(web.problem.contains("not built yet"), "{web}");
    assert!(!refused("[[proxy]]\npreset = 'wbe'").problem.contains("not built"));
}

#[test]
fn proxies_beside_their_originals_have_names_of_their_own() {
    let beside = "[media]\nlayout = 'beside'\n[[proxy]]\npreset = 'prores-proxy'\n[[proxy]]\npreset = 'h264-intra'\n";
    assert!(refused(beside).problem.contains("same name"), "{}", refused(beside));
    assert!(parse(&format!("{beside}suffix = '_small'")).is_ok());
    assert!(parse(&beside.replace("beside", "root")).is_ok());
    let mxf = "[media]\nlayout = 'beside'\n[[proxy]]\npreset = 'prores-proxy'\n[[proxy]]\npreset = 'dnxhr-lb'\n";
    let config = parse(mxf).unwrap();
    assert_eq!(config.media.layout, MediaLayout::Beside);
    assert!(parse("[media]\nlayout = 'elsewhere'").is_err());
}

#[test]
fn proxies_are_those_that_are_named_and_always_the_web_proxy() {
    let names = |text: &str| -> Vec<String> {
        let proxies = parse(text).unwrap().proxies;
        let name = |p: &Proxy| format!("{} {}{}", p.recipe.preset.name(), p.suffix, p.recipe.container.name());
        proxies.iter().map(name).collect()
    };
    assert_eq!(names(""), ["prores-proxy mov", "web mp4"]);
    assert_eq!(names("proxy = []"), ["web mp4"]);
    assert_eq!(names("[[proxy]]\npreset = 'dnxhr-lb'\nsuffix = '_Proxy'"), ["dnxhr-lb _Proxymxf", "web mp4"]);
    let two = "[[proxy]]\npreset = 'web'\n[[proxy]]\npreset = 'dnxhr-lb'\ncontainer = 'mov'\nvfr = true";
    assert_eq!(names(two), ["web mp4", "dnxhr-lb mov"]);
    assert!(parse(two).unwrap().proxies[1].recipe.vfr);
}

#[test]
fn a_proxy_that_no_file_can_be_is_refused_where_it_stands() {
    for (text, key) in [
        ("preset = 'prores-proxy'\ncontainer = 'mxf'", "proxy[0].container"),
        ("preset = 'h264-intra'\ncontainer = 'mxf'", "proxy[0].container"),
        ("preset = 'web'\ncontainer = 'mov'", "proxy[0].container"),
        ("preset = 'web'\ncontainer = 'avi'", "proxy[0].container"),
        ("preset = 'dnxhr-lb'\nvfr = true", "proxy[0].vfr"),
        ("preset = 'prores-proxy'\nsuffix = 'a/b'", "proxy[0].suffix"),
        ("preset = 'web'\n[[proxy]]\npreset = 'web'", "proxy[1].preset"),
    ] {
        assert_eq!(refused(&format!("[[proxy]]\n{text}")).key, key, "{text}");
    }
}

#[test]
fn a_look_is_for_what_people_look_at_unless_it_says_more() {
    let c = parse("[[look]]\nname = 'show'\nlut = '/l/show.CUBE'\ncolour = 'bt709'\nroll = 'A*'").unwrap();
    let look = &c.looks[0];
    assert_eq!((&look.presets[..], look.size_percent), (&["web", "poster", "filmstrip"][..], 4));
    assert_eq!(look.lut.as_deref(), Some(std::path::Path::new("/l/show.CUBE")));
    let both = "[[proxy]]\npreset = 'dnxhr-lb'\n[[look]]\nname = 'a'\ncdl = 'clip'\npresets = ['dnxhr-lb', 'web']";
    assert_eq!(parse(both).unwrap().looks[0].presets, ["dnxhr-lb", "web"]);
    assert!(parse("").unwrap().looks.is_empty(), "off by default");
}

#[test]
fn a_look_that_can_not_be_is_refused_where_it_stands() {
    for (text, key) in [
        ("", "look[0]"),
        ("lut = 'a.cube'", "look[0].lut"),
        ("lut = '/a.3dl'", "look[0].lut"),
        ("cdl = '/a.cube'", "look[0].cdl"),
        ("cdl = 'clips'", "look[0].cdl"),
        ("cdl = 'clip'\ncolour = 'bt709'", "look[0].colour"),
        ("lut = '/a.cube'\ncolour = 'rec709'", "look[0].colour"),
        ("burn_in = ['tc']", "look[0].burn_in"),
        ("burn_in = ['clip', 'clip']", "look[0].burn_in"),
        ("burn_in = ['clip']\nsize = 1", "look[0].size"),
        ("burn_in = ['clip']\nsize = 11", "look[0].size"),
        ("lut = '/a.cube'\nsize = 5", "look[0].size"),
        ("watermark = \"a\\nb\"", "look[0].watermark"),
        ("watermark = '0123456789012345678901234567890123456789012345678901234567890123456789'", "look[0].watermark"),
        ("watermark = 'a'\npresets = []", "look[0].presets"),
        ("watermark = 'a'\npresets = ['dnxhr-lb']", "look[0].presets"),
        ("watermark = 'a'\npresets = ['waveform']", "look[0].presets"),
        ("watermark = 'a'\n[[look]]\nname = 'a'\nwatermark = 'b'", "look[1].name"),
        ("watermark = 'a'\ncamera = ''", "look[0].camera"),
    ] {
        assert_eq!(refused(&format!("[[look]]\nname = 'a'\n{text}")).key, key, "{text}");
    }
    let e = refused("[[look]]\nname = 'a'\nburn_in = ['timecod']");
    assert_eq!((e.line, e.hint.as_deref()), (3, Some("did you mean \"timecode\"?")));
}

#[test]
fn bad_values_are_refused_where_they_stand() {
    for (text, key) in [
        ("[catalog]\npath = 'catalog.db'", "catalog.path"),
        ("[[destination]]\npath = 'a'", "destination[0].path"),
        ("[[destination]]\npath = '/a/{prject}'", "destination[0].path"),
        ("[[destination]]\npath = '/a'\n[[destination]]\npath = '/a'", "destination[1].path"),
        ("[[destination]]\nname = ''\npath = '/a'", "destination[0].name"),
        ("[[watch]]\nkind = 'dumps'", "watch[0]"),
        ("[[watch]]\nkind = 'dump'\npath = '/a'", "watch[0].kind"),
        ("[[watch]]\nkind = 'mounts'\npath = '/a'", "watch[0].path"),
        ("[[watch]]\npath = '/a'\nlabel = 'A*'", "watch[0].label"),
        ("[[watch]]\npath = '/a'\nsettle_secs = 0", "watch[0].settle_secs"),
        ("[[device]]\nmatch = 'sda'\nkind = 'tape'", "device[0].kind"),
        ("[policy]\nlitter = ['a/b']", "policy.litter"),
        ("[offload]\nverify = 'none'", "offload.verify"),
        ("[offload]\nroll_from = []", "offload.roll_from"),
        ("[offload]\nset = { roll = 'A001' }", "offload.set.roll"),
        ("[hash]\nformats = ['md6']", "hash.formats"),
        ("[hash]\nformats = ['blake3']", "hash.formats"),
        ("[mhl]\nauthor = \"a\\nb\"", "mhl.author"),
        ("[mhl]\nauthor = 'a'\nauthor_email = 'a@b'", "mhl.author_email"),
        ("[mhl]\nauthor_role = 'DIT'", "mhl.author_role"),
        ("[verify]\nflash_lanes = 0", "verify.flash_lanes"),
        ("[media]\nprobe_limit_secs = 0", "media.probe_limit_secs"),
        ("[patrol]\nevery = '30'", "patrol.every"),
        ("[patrol]\nfor = '0s'", "patrol.for"),
        ("[patrol]\nrate = '200MB'", "patrol.rate"),
        ("[patrol]\nabsent_after = '0d'", "patrol.absent_after"),
        ("[notify]\ncommand = []", "notify.command"),
        ("[notify]\non = ['safe']", "notify"),
        ("[notify]\nurl = 'https://a/b'", "notify.url"),
        ("[notify]\nsecret_file = '/a'", "notify.secret_file"),
        ("[notify]\nurl = 'https://a/b'\nsecret_file = 'a'", "notify.secret_file"),
        ("[notify]\nurl = 'https://a/b'\nsecret = 'whsec_aaaa'", "notify.secret"),
        ("[notify]\ncommand = ['a']\non = []", "notify.on"),
        ("[notify]\ncommand = ['a']\non = ['saef']", "notify.on"),
    ] {
        assert_eq!(refused(text).key, key, "{text}: {}", refused(text));
    }
}

#[test]
fn xxh64_is_always_among_the_formats_in_schema_order() {
    let formats = parse("[hash]\nformats = ['xxh3', 'md5', 'md5']").unwrap().hash;
    assert_eq!(formats, [HashFormat::Md5, HashFormat::Xxh3, HashFormat::Xxh64]);
}

#[test]
fn a_set_value_opens_its_placeholder() {
    let c = parse("[offload]\nset = { episode = '' }\n[[destination]]\npath = '/a/{episode}/{roll}'").unwrap();
    assert_eq!(c.destinations[0].path.placeholders().collect::<Vec<_>>(), ["episode"]);
}

#[test]
fn a_watch_is_of_dumps_unless_it_says_mounts() {
    let c = parse("[[watch]]\npath = '/a'\nsettle_secs = 2\n[[watch]]\nkind = 'mounts'\nlabel = 'A*'").unwrap();
    assert!(matches!(&c.watches[0], Watch::Dumps { settle, .. } if settle.as_secs() == 2));
    assert!(matches!(&c.watches[1], Watch::Mounts { label: Some(l), .. } if l == "A*"));
}

#[test]
fn the_list_of_settings_says_where_each_came_from() {
    let mut c = parse("[policy]\ncopies = 3\n\n[[destination]]\npath = '/a'").unwrap();
    c.note_origin("catalog.path", "--catalog");
    c.catalog = Some("/x.db".into());
    let list = c.effective();
    let row = |key: &str| list.iter().find(|r| r.0 == key).map(|r| (&r.1[..], &r.2[..])).unwrap();
    assert_eq!(row("policy.copies"), ("3", "test.toml line 2"));
    assert_eq!(row("destination[0].path"), ("\"/a\"", "test.toml line 5"));
    assert_eq!(row("catalog.path"), ("\"/x.db\"", "--catalog"));
    assert_eq!(row("policy.source_reread"), ("true", "default"));
    assert_eq!(row("patrol.every"), ("", "default"));
}

#[test]
fn device_rules_match_by_name_serial_or_mount() {
    let rule = |pattern: &str| DeviceRule { pattern: pattern.into(), kind: DeviceKind::Flash };
    assert!(rule("sd*").matches(["nvme0n1", "sdb"]));
    assert!(rule("/mnt/raid*").matches(["md0", "/mnt/raid1/a"]));
    assert!(!rule("sd?").matches(["sdaa", "SERIAL"]));
    assert!(glob("*a*b", "xaxxb") && !glob("*a*b", "xaxxbc") && glob("*", "") && !glob("?", ""));
    assert!(!glob(&"*a".repeat(30), &"a".repeat(29)), "and that in no time");
}

proptest! {
    #[test]
    fn no_text_panics(lines in prop::collection::vec(
        prop_oneof![
            ".{0,40}",
            "\\[{1,2}(policy|watch|offload|hash|notify|patrol)\\]{1,2}",
            "(copies|path|set|command|on|every|kind|formats) = (-?[0-9]{1,20}|'.{0,9}'|\\[.{0,9}\\]|\\{.{0,9}\\})",
        ], 0..8)) {
        let text = lines.join("\n");
        if let Err(e) = parse(&text) {
            prop_assert!(e.line >= 1 && e.line <= text.lines().count().max(1) + 1, "{e}");
        }
    }
}

#[test]
fn a_webhook_is_an_address_and_a_file() {
    let hook = |url: &str| parse(&format!("[notify]\nurl = '{url}'\nsecret_file = '/a'"));
    for good in ["https://a", "HTTP://10.0.0.1:8080/x?y=z", "https://[::1]:443/", "http://[::1]"] {
        let notify = hook(good).unwrap_or_else(|e| panic!("{good}: {e}")).notify.unwrap();
        assert_eq!((notify.webhook.unwrap().url, notify.command.len()), (good.to_owned(), 0));
    }
    for bad in [
        "",
        "a.org",
        "ftp://a",
        "https://",
        "https:///x",
        "https://a:0/",
        "https://a:x",
        "https://u:p@a/",
        "http://a b",
        "http://a/#x",
        "http://ä",
    ] {
        assert_eq!(hook(bad).unwrap_err().key, "notify.url", "{bad}");
    }
    let secret = refused("[notify]\nurl = 'https://a/b'\nsecret = 'whsec_geheim'");
    assert!(!secret.to_string().contains("geheim") && secret.hint.unwrap().contains("secret_file"));
}
