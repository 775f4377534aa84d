//! Cards of cinema and broadcast cameras.

use super::{Tree, files, with};

pub fn all() -> Vec<Tree> {
    vec![
        arri(),
        alexa35(),
        arriraw(),
        red(),
        blackmagic(),
        sony_xavc(),
        sony_xocn(),
        sony_xavc_s(),
        xdcam_ex(),
        xdcam(),
        xdcam_streams(),
        p2(),
        panasonic(),
        lumix(),
        avchd(),
        canon_xf(),
        canon_cinema(),
        canon_eos(),
    ]
}

fn arri() -> Tree {
    Tree {
        layout: "arri",
        files: with(
            files(&[
                "A001R1ZA/A001C001_180327_R1ZA.mov",
                "A001R1ZA/A001C002_180327_R1ZA.mov",
                "A001R1ZA/A001R1ZA_FCP.xml",
                "ARRI/LOOKFILES/Warm.aml",
            ]),
            "A001R1ZA/A001R1ZA.ale",
            "Heading\nFIELD_DELIM\tTABS\nFPS\t24\n\nColumn\nName\tStart\n\nData\n\
             A001C001_180327_R1ZA\t01:00:00:00\nA001C002_180327_R1ZA\t02:00:00:00\n",
        ),
        clips: vec![("A001C001_180327_R1ZA", 1), ("A001C002_180327_R1ZA", 1)],
        lose: ("A001R1ZA/A001C002_180327_R1ZA.mov", "missing-clip:A001R1ZA/A001C002_180327_R1ZA"),
    }
}

fn alexa35() -> Tree {
    Tree {
        layout: "arri",
        files: files(&[
            "A_0076_1CTJ/A_0076C001_230511_184122_a1CTJ.mxf",
            "A_0076_1CTJ_hde/A_0076_1CTJ/A_0076C001_230511_184122_h1CTJ.mxf",
        ]),
        clips: vec![("A_0076C001_230511_184122_a1CTJ", 2)],
        lose: ("", ""),
    }
}

fn arriraw() -> Tree {
    let names: Vec<String> =
        (49_275..49_285).map(|n| format!("A003R24Y/A003C001_190625_R24Y/A003C001_190625_R24Y.{n:07}.ari")).collect();
    Tree {
        layout: "arri",
        files: files(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        clips: vec![("A003C001_190625_R24Y", 10)],
        lose: (
            "A003R24Y/A003C001_190625_R24Y/A003C001_190625_R24Y.0049280.ari",
            "missing-part:A003R24Y/A003C001_190625_R24Y/A003C001_190625_R24Y.0049280.ari",
        ),
    }
}

fn red() -> Tree {
    Tree {
        layout: "red",
        files: files(&[
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M_001.R3D",
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M_002.R3D",
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M_001.mov",
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M.RTN",
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M.RMD",
            "A001_0818F4.RDM/A001_C002_0818XX.RDC/A001_C002_0818XX_001.R3D",
            "digital_magazine.bin",
        ]),
        clips: vec![("A001_C001_08186M", 5), ("A001_C002_0818XX", 1)],
        lose: (
            "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M_001.R3D",
            "missing-part:A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M_001.R3D",
        ),
    }
}

fn blackmagic() -> Tree {
    Tree {
        layout: "blackmagic",
        files: files(&[
            "A001_08151512_C001.braw",
            "A001_08151512_C001.sidecar",
            "A001_08151512_C001_S001.braw",
            "Proxy/A001_08151512_C001.mp4",
            "BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002_000000.dng",
            "BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002_000001.dng",
            "BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002_000002.dng",
            "BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002.wav",
        ]),
        clips: vec![("A001_08151512_C001", 4), ("BMC01_1_2012-08-08_1631_C0002", 4)],
        lose: (
            "BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002_000001.dng",
            "missing-frames:BMC01_1_2012-08-08_1631_C0002/BMC01_1_2012-08-08_1631_C0002",
        ),
    }
}

/// A `MEDIAPRO.XML` of these recordings.
fn mediapro(uris: &[&str]) -> String {
    let all: String = uris.iter().map(|u| format!("<Material uri=\"./{u}\" umid=\"060A2B34{u}\"/>")).collect();
    format!(
        "<MediaProfile xmlns=\"http://xmlns.sony.net/pro/metadata/mediaprofile\"><Contents>{all}</Contents></MediaProfile>"
    )
}

fn sony_xavc() -> Tree {
    let tree = files(&[
        "XDROOT/Clip/A001C001_220908AG.MXF",
        "XDROOT/Clip/A001C001_220908AGM01.XML",
        "XDROOT/Clip/A001C001_220908AGR01.BIM",
        "XDROOT/Clip/SG DARSHAN 0065.MXF",
        "XDROOT/Sub/A001C001_220908AGS03.MP4",
        "XDROOT/Thmbnl/A001C001_220908AGT01.JPG",
        "XDROOT/CUEUP.XML",
    ]);
    Tree {
        layout: "sony-xavc",
        files: with(tree, "XDROOT/MEDIAPRO.XML", mediapro(&["Clip/A001C001_220908AG.MXF", "Clip/SG DARSHAN 0065.MXF"])),
        clips: vec![("A001C001_220908AG", 5), ("SG DARSHAN 0065", 1)],
        lose: ("XDROOT/Clip/SG DARSHAN 0065.MXF", "missing-clip:XDROOT/Clip/SG DARSHAN 0065.MXF"),
    }
}

fn sony_xocn() -> Tree {
    let tree = files(&[
        "A001ABCD/Clip/A001C001_220908AG/A001C001_220908AG.mxf",
        "A001ABCD/Clip/A001C001_220908AG/A001C001_220908AGM01.XML",
        "A001ABCD/Clip/A001C002_220908B2/A001C002_220908B2.mxf",
    ]);
    let index =
        mediapro(&["Clip/A001C001_220908AG/A001C001_220908AG.mxf", "Clip/A001C002_220908B2/A001C002_220908B2.mxf"]);
    Tree {
        layout: "sony-xocn",
        files: with(tree, "A001ABCD/MEDIAPRO.XML", index),
        clips: vec![("A001C001_220908AG", 2), ("A001C002_220908B2", 1)],
        lose: (
            "A001ABCD/Clip/A001C002_220908B2/A001C002_220908B2.mxf",
            "missing-clip:A001ABCD/Clip/A001C002_220908B2/A001C002_220908B2.mxf",
        ),
    }
}

fn sony_xavc_s() -> Tree {
    let tree = files(&[
        "PRIVATE/M4ROOT/CLIP/C0001.MP4",
        "PRIVATE/M4ROOT/CLIP/C0001M01.XML",
        "PRIVATE/M4ROOT/CLIP/C0002.MP4",
        "PRIVATE/M4ROOT/SUB/C0001S03.MP4",
        "PRIVATE/M4ROOT/THMBNL/C0001T01.JPG",
        "PRIVATE/M4ROOT/STATUS.BIN",
        "DCIM/100MSDCF/DSC00001.ARW",
        "AVF_INFO/AVIN0001.INP",
    ]);
    Tree {
        layout: "sony-xavc-s",
        files: with(tree, "PRIVATE/M4ROOT/MEDIAPRO.XML", mediapro(&["CLIP/C0001.MP4", "CLIP/C0002.MP4"])),
        clips: vec![("C0001", 4), ("C0002", 1)],
        lose: ("PRIVATE/M4ROOT/CLIP/C0002.MP4", "missing-clip:PRIVATE/M4ROOT/CLIP/C0002.MP4"),
    }
}

fn xdcam_ex() -> Tree {
    Tree {
        layout: "xdcam-ex",
        files: files(&[
            "BPAV/CLPR/709_0001_01/709_0001_01.MP4",
            "BPAV/CLPR/709_0001_01/709_0001_01.SMI",
            "BPAV/CLPR/709_0001_02/709_0001_02.MP4",
            "BPAV/CLPR/709_0002_01/709_0002_01.MP4",
            "BPAV/CLPR/709_0002_01/709_0002_01M01.XML",
            "BPAV/TAKR/709_0001/709_0001.SMI",
            "BPAV/CUEUP.XML",
        ]),
        clips: vec![("709_0001", 4), ("709_0002", 2)],
        lose: ("BPAV/CLPR/709_0002_01/709_0002_01.MP4", "missing-essence:BPAV/CLPR/709_0002_01"),
    }
}

fn xdcam() -> Tree {
    let tree =
        files(&["Clip/C0001.MXF", "Clip/C0001M01.XML", "Clip/My Take.MXF", "Sub/C0001S01.MXF", "Edit/E0001E01.SMI"]);
    let tree = with(tree, "INDEX.XML", disc_index(&["C0001", "C0002"]));
    let alias = "<aliasTable><alias clipId=\"C0002\" value=\"My Take\"/></aliasTable>";
    let tree = with(tree, "ALIAS.XML", alias);
    Tree {
        layout: "xdcam",
        files: with(tree, "MEDIAPRO.XML", mediapro(&["Clip/C0001.MXF", "Clip/My Take.MXF"])),
        clips: vec![("C0001", 3), ("My Take", 1)],
        lose: ("Clip/My Take.MXF", "missing-clip:Clip/My Take.MXF"),
    }
}

/// What a disc's own index may look like: it names the files of each clip.
fn disc_index(clips: &[&str]) -> String {
    let clip = |c: &&str| format!("<clip clipId=\"{c}\" file=\"{c}C01.SMI\"><video file=\"{c}V01.MXF\"/></clip>");
    format!("<indexFile><clipTable>{}</clipTable></indexFile>", clips.iter().map(clip).collect::<String>())
}

/// The same disc in its other view.
fn xdcam_streams() -> Tree {
    let tree = files(&[
        "PROAV/CLPR/C0001/C0001C01.SMI",
        "PROAV/CLPR/C0001/C0001V01.MXF",
        "PROAV/CLPR/C0001/C0001A01.MXF",
        "PROAV/CLPR/C0001/C0001A02.MXF",
        "PROAV/CLPR/C0001/C0001S01.MXF",
        "PROAV/CLPR/C0001/C0001M01.XML",
        "PROAV/CLPR/C0002/C0002V01.MXF",
    ]);
    Tree {
        layout: "xdcam",
        files: with(tree, "PROAV/INDEX.XML", disc_index(&["C0001", "C0002"])),
        clips: vec![("C0001", 6), ("C0002", 1)],
        lose: ("PROAV/CLPR/C0002/C0002V01.MXF", "missing-clip:PROAV/CLPR/C0002"),
    }
}

fn p2() -> Tree {
    let document = |name: &str| {
        format!(
            "<P2Main xmlns=\"urn:schemas-Professional-Plug-in:P2:ClipMetadata:v3.1\"><ClipContent>\
             <ClipName>{name}</ClipName><GlobalClipID>060A{name}</GlobalClipID><EssenceList><Video/><Audio/><Audio/>\
             </EssenceList></ClipContent></P2Main>"
        )
    };
    let tree = files(&[
        "CONTENTS/VIDEO/0001AB.MXF",
        "CONTENTS/AUDIO/0001AB00.MXF",
        "CONTENTS/AUDIO/0001AB01.MXF",
        "CONTENTS/ICON/0001AB.BMP",
        "CONTENTS/PROXY/0001AB.MP4",
        "CONTENTS/VIDEO/0002CD.MXF",
        "CONTENTS/AUDIO/0002CD00.MXF",
        "CONTENTS/AUDIO/0002CD01.MXF",
        "LASTCLIP.TXT",
    ]);
    let tree = with(tree, "CONTENTS/CLIP/0001AB.XML", document("0001AB"));
    Tree {
        layout: "p2",
        files: with(tree, "CONTENTS/CLIP/0002CD.XML", document("0002CD")),
        clips: vec![("0001AB", 6), ("0002CD", 4)],
        lose: ("CONTENTS/AUDIO/0002CD01.MXF", "missing-essence:CONTENTS/AUDIO/0002CD01.MXF"),
    }
}

fn panasonic() -> Tree {
    Tree {
        layout: "panasonic",
        files: files(&[
            "DCIM/001RAQAM/A001C001_201224_AB12.MOV",
            "DCIM/001RAQAM/A001C002_201224_AB13.MOV",
            "PRIVATE/PANA_GRP/001RAQAM/A001C001_201224_AB12.JPG",
        ]),
        clips: vec![("A001C001_201224_AB12", 2), ("A001C002_201224_AB13", 1)],
        lose: ("", ""),
    }
}

fn lumix() -> Tree {
    Tree {
        layout: "lumix",
        files: files(&["DCIM/100_PANA/P1000001.MOV", "DCIM/100_PANA/P1000002.MP4", "DCIM/100_PANA/P1000003.RW2"]),
        clips: vec![("P1000001", 1), ("P1000002", 1)],
        lose: ("", ""),
    }
}

/// A playlist of streams, each with how it joins the one before: 1 not, 6 without a break.
fn playlist(items: &[(&str, u8)]) -> Vec<u8> {
    let mut out = b"MPLS0100\0\0\0\x14\0\0\0\0\0\0\0\0".to_vec();
    out.extend((6 + 22 * items.len() as u32).to_be_bytes());
    out.extend([0, 0, 0, items.len() as u8, 0, 0]);
    for (stream, joins) in items {
        out.extend([0, 20]);
        out.extend(stream.as_bytes());
        out.extend(b"M2TS\0");
        out.extend([*joins, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    out
}

fn avchd() -> Tree {
    let tree = files(&[
        "PRIVATE/AVCHD/BDMV/INDEX.BDM",
        "PRIVATE/AVCHD/BDMV/MOVIEOBJ.BDM",
        "PRIVATE/AVCHD/BDMV/CLIPINF/00000.CPI",
        "PRIVATE/AVCHD/BDMV/CLIPINF/00001.CPI",
        "PRIVATE/AVCHD/BDMV/CLIPINF/00002.CPI",
        "PRIVATE/AVCHD/BDMV/STREAM/00000.MTS",
        "PRIVATE/AVCHD/BDMV/STREAM/00001.MTS",
        "PRIVATE/AVCHD/BDMV/STREAM/00002.MTS",
        "PRIVATE/AVCHD/AVCHDTN/THUMB.TDT",
    ]);
    let list = playlist(&[("00000", 1), ("00001", 6), ("00002", 1)]);
    Tree {
        layout: "avchd",
        files: with(tree, "PRIVATE/AVCHD/BDMV/PLAYLIST/00000.MPL", list),
        clips: vec![("00000", 4), ("00002", 2)],
        lose: ("PRIVATE/AVCHD/BDMV/STREAM/00001.MTS", "missing-essence:PRIVATE/AVCHD/BDMV/STREAM/00001.MTS"),
    }
}

fn canon_xf() -> Tree {
    Tree {
        layout: "canon-xf",
        files: files(&[
            "CONTENTS/CLIPS001/AA0001/AA000101.MXF",
            "CONTENTS/CLIPS001/AA0001/AA000101.SIF",
            "CONTENTS/CLIPS001/AA0001/AA000102.MXF",
            "CONTENTS/CLIPS001/AA0001/AA0001.CIF",
            "CONTENTS/CLIPS001/AA0001/AA0001.THM",
            "CONTENTS/CLIPS001/A001C001_170823D4_CANON.MXF",
            "CONTENTS/CLIPS001/A001C001_170823D4_CANON.XML",
            "CONTENTS/CLIPS001/INDEX.MIF",
        ]),
        clips: vec![("A001C001_170823D4_CANON", 2), ("AA0001", 5)],
        lose: ("CONTENTS/CLIPS001/AA0001/AA000101.MXF", "missing-part:CONTENTS/CLIPS001/AA0001/AA000101.MXF"),
    }
}

fn canon_cinema() -> Tree {
    Tree {
        layout: "canon-cinema",
        files: files(&[
            "CRM/REEL_0003/A_0003C048H260421_082509HN_CANON.CRM",
            "XFVC/REEL_0004/A_0003C048H260421_082509HN_CANON_Proxy.MP4",
            "XFVC/REEL_0004/A_0004C001H260421_093000AB_CANON_001.MP4",
            "XFVC/REEL_0004/A_0004C001H260421_093000AB_CANON_002.MP4",
            "XFVC/REEL_0004/A_0004C001H260421_093000AB_CANON_003.MP4",
            "XFVC/CANONMSC/M0100.CTG",
        ]),
        clips: vec![("A_0003C048H260421_082509HN_CANON", 2), ("A_0004C001H260421_093000AB_CANON", 3)],
        lose: (
            "XFVC/REEL_0004/A_0004C001H260421_093000AB_CANON_002.MP4",
            "missing-part:XFVC/REEL_0004/A_0004C001H260421_093000AB_CANON_002.MP4",
        ),
    }
}

fn canon_eos() -> Tree {
    Tree {
        layout: "canon-eos",
        files: files(&[
            "DCIM/100EOSR5/MVI_0001.CRM",
            "DCIM/100EOSR5/MVI_0001.MP4",
            "DCIM/100___01/MVI_0002.MOV",
            "DCIM/100___01/MVI_0002.THM",
            "PRIVATE/AUDIO/MVI_0002.WAV",
        ]),
        clips: vec![("MVI_0001", 2), ("MVI_0002", 3)],
        lose: ("", ""),
    }
}
