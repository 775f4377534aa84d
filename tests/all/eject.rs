//! Drives and cards that leave and come back: what may be unmounted, who is in the way, and what a proof after it is worth.

use crate::place::{Place, Said};
use crate::shim::{Faulty, Image, ask, log, no_namespaces, root};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Three files on its card, and none that a program for media would be started for.
fn with_card(place: Place) -> Place {
    place.file("card/A001/DATA/one.bin", 1_500_000, 1);
    place.file("card/A001/DATA/two.bin", 70_000, 2);
    place.file("card/A001/NOTES.TXT", 12, 3);
    place
}

/// A card on two copies, the second one on a drive of its own.
fn offloaded() -> Option<(Place, Image)> {
    if !root("a drive that is ejected") {
        return None;
    }
    let place = with_card(Place::new());
    let image = Image::ext4(&place, "b", 24);
    place.offload(&["--no-media"]).expect(0);
    Some((place, image))
}

/// The program of another test that looks at all mounts may be in one for an instant.
fn eject(place: &Place, what: &Path) -> Said {
    let begun = std::time::Instant::now();
    loop {
        let said = place.run(&["eject", what.to_str().unwrap(), "--json"]);
        if !said.stdout.contains("is in use by goodgate (pid") || begun.elapsed().as_secs() > 30 {
            return said;
        }
    }
}

fn error(said: &Said) -> String {
    said.json()["error"].as_str().unwrap().to_owned()
}

fn is_mounted(point: &Path) -> bool {
    let point = format!(" {} ", point.display());
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&point)
}

fn run(program: &str, args: &[&Path]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A program of another test that looks at all mounts may hold it for an instant.
fn unmount(point: &Path) {
    let begun = std::time::Instant::now();
    while !Command::new("umount").arg(point).stderr(Stdio::null()).status().unwrap().success() {
        assert!(begun.elapsed().as_secs() < 60, "{} stays mounted", point.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The classes of the card's two copies.
fn classes(place: &Place) -> [String; 2] {
    let json = place.status().expect(0).json();
    [0, 1].map(|n| json["copies"][n]["read_back"].as_str().unwrap().to_owned())
}

fn patrol(place: &Place, volume: &Path, more: &[&str]) -> (u64, u64) {
    let said = place.run(&[&["patrol", "--volume", volume.to_str().unwrap(), "--json"], more].concat()).expect(0);
    let json = said.json();
    (json["files"].as_u64().unwrap(), json["good"].as_u64().unwrap())
}

/// Somebody with a file open.
struct Reader(Child);

impl Reader {
    fn of(path: &Path) -> Self {
        let file = std::fs::File::open(path).unwrap();
        Reader(Command::new("sleep").arg("600").stdin(Stdio::from(file)).spawn().unwrap())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_read_after_an_eject_is_remounted_and_all_of_it_is_due() {
    let _mounts = no_namespaces();
    let Some((place, image)) = offloaded() else { return };
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "device"]);
    assert_eq!(patrol(&place, &image.point, &[]), (0, 0), "nothing is due yet");
    let said = eject(&place, &image.point).expect(0);
    let point = image.point.to_str().unwrap();
    let json = said.json();
    assert_eq!((&json["ejected"]["mount"], &json["ejected"]["powered_off"]), (&point.into(), &false.into()), "{json}");
    let next = json["next"].as_str().unwrap();
    assert!(next.contains(&format!("goodgate patrol --volume {point}")), "{next}");
    assert!(!is_mounted(&image.point));
    assert_eq!(run("losetup", &["-j".as_ref(), &image.file]), "", "nothing holds the image any more");
    assert!(log(&place).contains("ejected   unmounted from"), "{}", log(&place));
    let gone = eject(&place, &image.point).expect(1);
    assert!(error(&gone).contains("is not mounted"), "{}", gone.stdout);
    let absent = place.run(&["patrol", "--volume", point, "--json"]).json();
    assert_eq!((&absent["files"], &absent["absent"][0]["files"]), (&0.into(), &3.into()), "{absent}");

    image.mount();
    assert_eq!(patrol(&place, &image.point, &["--due", "30d"]), (0, 0), "an age that is named holds");
    assert_eq!(patrol(&place, &image.point, &[]), (3, 3));
    assert_eq!(classes(&place), ["device", "remounted"]);
    assert_eq!(patrol(&place, &image.point, &[]), (0, 0), "once is enough");
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "remounted"]);
    place.run(&["check"]).expect(0);
    // The same bytes laid there anew, with the time of the old ones: they may lie in memory.
    let (copy, old) = (place.path("b/A001/NOTES.TXT"), place.path("b/A001/old"));
    std::fs::rename(&copy, &old).unwrap();
    run("cp", &["-p".as_ref(), &old, &copy]);
    std::fs::remove_file(&old).unwrap();
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "device"]);
    eject(&place, &image.point).expect(0);
    image.mount();
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "remounted"]);
    // So does what is offloaded now.
    place.file("card/A001/DATA/three.bin", 70_000, 9);
    place.offload(&["--no-media"]).expect(0);
    assert_eq!(classes(&place), ["device", "device"], "a copy is as strong as its weakest file");
}

#[test]
fn what_is_in_use_stays_and_whoever_uses_it_is_named() {
    let _mounts = no_namespaces();
    let Some((place, image)) = offloaded() else { return };
    let reader = Reader::of(&place.path("b/A001/NOTES.TXT"));
    let busy = eject(&place, &image.point).expect(1);
    assert!(error(&busy).contains(&format!("is in use by sleep (pid {})", reader.0.id())), "{}", busy.stdout);
    assert!(is_mounted(&image.point) && busy.json()["hint"].is_string());
    assert!(ask(&place, "SELECT * FROM mount WHERE ejected_at IS NOT NULL").is_empty());
    drop(reader);
    let said = place.run(&["eject", image.point.to_str().unwrap()]).expect(0);
    let line = format!("ejected: {}; it may be unplugged\n", image.point.display());
    assert!(said.stdout.starts_with(&line), "{}", said.stdout);
}

#[test]
fn an_offload_that_runs_keeps_its_drives() {
    let _mounts = no_namespaces();
    if !root("a drive that is ejected") {
        return;
    }
    let place = with_card(Place::new());
    let image = Image::ext4(&place, "b", 24);
    let paused = Faulty::offload(&place, &["write|/a/A001/DATA/.|1|1|pause"]).paused();
    let busy = eject(&place, &image.point).expect(1);
    let by = format!("a repair of ours by goodgate (pid {})", paused.id());
    assert!(error(&busy).contains(&by), "{}", busy.stdout);
    paused.go().expect(0);
    eject(&place, &image.point).expect(0);
}

#[test]
fn a_bind_mount_keeps_a_volume_alive_and_a_mount_by_hand_does_not() {
    let _mounts = no_namespaces();
    let Some((place, image)) = offloaded() else { return };
    let beside = place.path("beside");
    std::fs::create_dir(&beside).unwrap();
    let device = Path::new("/dev").join(image.device());
    run("mount", &["--bind".as_ref(), &image.point, &beside]);
    unmount(&image.point);
    run("mount", &[&device, &image.point]);
    unmount(&beside);
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "device"], "the kernel held it all the time");
    // Nobody told us, and it was away all the same.
    unmount(&image.point);
    image.mount();
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "remounted"]);
    // All its mounts go, or none.
    run("mount", &["--bind".as_ref(), &image.point, &beside]);
    let reader = Reader::of(&beside.join("A001/NOTES.TXT"));
    let busy = eject(&place, &image.point).expect(1);
    assert!(error(&busy).contains("sleep"), "{}", busy.stdout);
    assert!(is_mounted(&image.point) && is_mounted(&beside));
    drop(reader);
    eject(&place, &image.point).expect(0);
    assert!(!is_mounted(&image.point) && !is_mounted(&beside));
}

#[test]
fn a_clone_of_the_drive_is_another_place_and_no_remount() {
    let _mounts = no_namespaces();
    let Some((place, image)) = offloaded() else { return };
    unmount(&image.point);
    let clone = Image { file: place.path("clone.img"), point: place.path("clone") };
    std::fs::create_dir(&clone.point).unwrap();
    run("cp", &["--sparse=always".as_ref(), &image.file, &clone.file]);
    image.mount();
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "remounted"]);
    place.file("card/A001/DATA/three.bin", 70_000, 9);
    place.offload(&["--no-media"]).expect(0);
    clone.mount();
    eject(&place, &clone.point).expect(0);
    assert!(is_mounted(&image.point) && !is_mounted(&clone.point));
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(classes(&place), ["device", "device"], "the new file lies in memory all the time");
}

#[test]
fn a_volume_that_only_looks_unmounted_is_not_called_free() {
    let _mounts = no_namespaces();
    let Some((place, image)) = offloaded() else { return };
    let beside = place.path("beside");
    std::fs::create_dir(&beside).unwrap();
    run("mount", &["--bind".as_ref(), &image.point, &beside]);
    // What is left of a lazy unmount is seen by nobody but the kernel.
    let reader = Reader::of(&beside.join("A001/NOTES.TXT"));
    run("umount", &["-l".as_ref(), &beside]);
    let held = eject(&place, &image.point).expect(1);
    assert!(error(&held).contains("do not unplug it"), "{}", held.stdout);
    assert!(!is_mounted(&image.point));
    drop(reader);
    image.mount();
    place.run(&["verify", "A001"]).expect(0);
}

#[test]
fn a_card_is_ejected_by_its_roll_and_what_is_not_safe_is_said_first() {
    let _mounts = no_namespaces();
    if !root("a card that is ejected") {
        return;
    }
    let place = Place::new();
    let card = Image::ext4(&place, "card", 24);
    let place = with_card(place);
    let path = card.point.to_str().unwrap();
    place.run(&["offload", path, "--roll", "C7", "--to", "a", "--no-media", "--json"]).expect(20);
    let said = place.run(&["eject", "C7"]).expect(0);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("C7 is not safe to format: NOT SAFE: "), "{}", said.stdout);
    assert!(lines[1].starts_with("ejected: ") && lines[2].contains("keep C7 as it is"), "{}", said.stdout);
    assert!(!is_mounted(&card.point));
    let gone = place.run(&["eject", "C7", "--json"]).expect(1);
    assert!(error(&gone).contains("the card of C7 is not mounted"), "{}", gone.stdout);

    card.mount();
    place.run(&["offload", path, "--roll", "C7", "--to", "a", "--to", "b", "--no-media", "--json"]).expect(0);
    // As it is held while proxies are made from the copies: the card is not needed for that.
    let locks = std::fs::read_dir(place.path("state/goodgate/locks")).unwrap().flatten();
    let of_cards = locks.filter(|l| l.file_name().to_string_lossy().starts_with("card"));
    let held: Vec<_> = of_cards.map(|l| std::fs::File::open(l.path()).unwrap()).collect();
    assert!(!held.is_empty());
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    held.iter().for_each(|l| rustix::fs::flock(l, exclusive).unwrap());
    let said = place.run(&["eject", "C7", "--json"]).expect(0).json();
    assert_eq!((&said["next"], &said["warnings"]), (&"C7 may be formatted".into(), &serde_json::json!([])), "{said}");
    let custody = place.run(&["log", "C7"]).stdout;
    assert_eq!(custody.matches("ejected   unmounted from").count(), 2, "{custody}");
}

#[test]
fn folders_the_system_and_the_catalogs_own_place_are_not_ejected() {
    let _mounts = no_namespaces();
    let place = with_card(Place::new());
    place.offload(&["--no-media"]).expect(0);
    let folder = place.run(&["eject", "A001", "--json"]).expect(1);
    assert!(error(&folder).contains("a folder is not ejected"), "{}", folder.stdout);
    let system = eject(&place, "/".as_ref()).expect(1);
    assert!(error(&system).contains("it holds the system"), "{}", system.stdout);
    let memory = eject(&place, "/dev/shm".as_ref()).expect(1);
    assert!(error(&memory).contains("no disk"), "{}", memory.stdout);
    assert_eq!(place.run(&["eject", "NEVER_SEEN", "--json"]).code, 2);
    if !root("a drive with the catalog on it") {
        return;
    }
    let image = Image::ext4(&place, "drive", 24);
    let point = image.point.to_str().unwrap();
    let catalog = format!("{point}/catalog.db");
    let refused = place.run(&["eject", point, "--catalog", &catalog, "--json"]).expect(1);
    assert!(error(&refused).contains("it holds the catalog"), "{}", refused.stdout);
    let inner = Image::ext4(&place, "drive/inner", 8);
    let refused = eject(&place, &image.point).expect(1);
    assert!(error(&refused).contains("is mounted inside it"), "{}", refused.stdout);
    // Nothing of it was ever read: it may leave, and is not called safe.
    let said = place.run(&["eject", inner.point.to_str().unwrap()]).expect(0);
    assert!(said.stdout.contains("it is not safe to format"), "{}", said.stdout);
    assert!(!is_mounted(&inner.point) && is_mounted(&image.point));
}
