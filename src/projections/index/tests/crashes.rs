//! A crash between any two steps of building a base leaves a usable index.

use std::fs;

use super::history::of_seed;
use super::*;

/// The states listed in [`super::super::index_dir`], each made from the files of a real change.
#[test]
fn a_crash_between_any_two_steps_leaves_an_index() {
    let events = of_seed(1, 200);
    let expected = Map::of(&events).digest();
    let (early, late) = events.split_at(events.len() / 2);
    let place = Place::with(early);

    // An old base, an overlay over it that has grown.
    let index = place.open(NO_BASES);
    index.compact(&*place.log, &|_, _| true).unwrap();
    write(&index, &*place.log, late).unwrap();
    index.flush().unwrap();
    let before = place.folder.path().join("before");
    copy(&place.index(), &before);
    // A new base and a new overlay.
    index.compact(&*place.log, &|_, _| true).unwrap();
    index.flush().unwrap();
    drop(index);
    let after = place.folder.path().join("after");
    copy(&place.index(), &after);
    let base = place.names("base-").pop().unwrap();
    let base_name = base.file_name().unwrap().to_str().unwrap().to_owned();
    let overlay = place.names("overlay-").pop().unwrap();
    let overlay_name = overlay.file_name().unwrap().to_owned();
    let whole = fs::read(&base).unwrap();

    let steps = ["runs", "part", "named", "overlay empty", "overlay begun", "old overlay gone"];
    for (number, step) in steps.iter().enumerate() {
        fs::remove_dir_all(place.index()).unwrap();
        copy(&before, &place.index());
        let folder = place.index();
        match number {
            0 => {
                fs::create_dir(folder.join("runs-9")).unwrap();
                fs::write(folder.join("runs-9/run-0"), &whole[..whole.len() / 2]).unwrap();
            }
            1 => fs::write(folder.join("base-9.part"), &whole[..whole.len() / 2]).unwrap(),
            _ => fs::write(folder.join(&base_name), &whole).unwrap(),
        }
        match number {
            3 => fs::create_dir(folder.join(&overlay_name)).unwrap(),
            4 | 5 => copy(&after.join(&overlay_name), &folder.join(&overlay_name)),
            _ => {}
        }
        if number == 5 {
            let old =
                place.names("overlay-").into_iter().find(|path| !path.ends_with(&overlay_name));
            fs::remove_dir_all(old.unwrap()).unwrap();
        }
        let index = place.open(NO_BASES);
        assert_eq!(index.digest().unwrap(), expected, "{step}");
        drop(index);
        let left = place.names("");
        assert_eq!(left.len(), 2, "{step}: a base and an overlay, not {left:?}");
    }
}

#[test]
fn a_build_that_is_stopped_leaves_nothing_behind() {
    let events = of_seed(2, 200);
    let place = Place::with(&events);
    let index = place.open(NO_BASES);
    let names = place.names("");
    let stopped = index.compact(&*place.log, &|_, _| false);
    assert!(matches!(stopped, Err(IndexError::Stopped)), "{stopped:?}");
    assert_eq!(place.names(""), names);
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
}

#[test]
fn files_of_former_versions_are_removed() {
    let events = of_seed(3, 50);
    let place = Place::with(&events);
    fs::create_dir_all(place.index().join("blobs")).unwrap();
    for name in ["conf", "db", "snap.0000000000000000"] {
        fs::write(place.index().join(name), b"sled").unwrap();
    }
    assert_eq!(place.open(NO_BASES).digest().unwrap(), Map::of(&events).digest());
    assert_eq!(place.names("").len(), 1);
}
