//! Archives, and exports of a source and a pool of their own.

use std::io::Read;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};

use futures_util::FutureExt;
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::domain::error::{ErrorCode, ServiceError};

fn image(file: &str, name: &str) -> Image {
    let (code, link) = ("qr_1".to_owned(), "link_1".to_owned());
    let short_url = "https://sho.rt/a".to_owned();
    let spec = StoredSpec { content: "a".to_owned(), style: QrStyle::default(), logo: None };
    let (format, size, spec) = (ImageFormat::Svg, 300, Ok(spec));
    Image { code, link, short_url, name: name.into(), file: file.into(), format, size, spec }
}

fn index(path: &Path) -> Vec<String> {
    let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut index = String::new();
    zip.by_name(INDEX).unwrap().read_to_string(&mut index).unwrap();
    index.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn an_archive_has_safe_unique_names_and_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let mut archive = Archive::create(&path, |_, _| Ok(())).unwrap();
    for (file, name) in [("../../etc/passwd", ""), ("A", "=1+1"), ("a", "é"), ("index", "")] {
        archive = archive.add(&image(file, name), Ok(file.as_bytes().to_vec())).unwrap();
    }
    archive = archive.add(&image("a", ""), Err("low contrast".to_owned())).unwrap();
    assert_eq!((archive.done, archive.failed), (5, 1));
    assert_eq!(archive.finish().unwrap(), path.metadata().unwrap().len());
    let zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
    let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, ["-..-etc-passwd.svg", "A.svg", "a-2.svg", "index.svg", INDEX]);
    let lines = index(&path);
    assert_eq!(lines[0], "file,qr_code,link,short_url,name,error");
    assert_eq!(lines[2], "A.svg,qr_1,link_1,https://sho.rt/a,'=1+1,");
    assert_eq!(lines[5], ",qr_1,link_1,https://sho.rt/a,,low contrast");
}

#[test]
fn an_image_that_the_disk_has_no_room_for_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let has_room = |_: &Path, wanted: u64| {
        if wanted > 10 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    };
    let archive = Archive::create(&folder.path().join("a.zip"), has_room).unwrap();
    let archive = archive.add(&image("a", ""), Ok(vec![0; 10])).unwrap();
    let refused = archive.add(&image("b", ""), Ok(vec![0; 11])).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
}

/// Has a code per permit, and fails for those of [`BROKEN`].
#[derive(Clone)]
struct Source {
    read: Arc<Mutex<Vec<QrCodeId>>>,
    permits: Arc<Semaphore>,
}

const BROKEN: u128 = 99;

impl Source {
    fn new(permits: usize) -> Self {
        Self { read: Arc::default(), permits: Arc::new(Semaphore::new(permits)) }
    }
}

impl ImageSource for Source {
    async fn image(&self, _: WorkspaceId, code: QrCodeId, _: &Selection) -> Result<Image> {
        self.read.lock().unwrap().push(code);
        self.permits.acquire().await.unwrap().forget();
        if code == id(BROKEN) {
            return Err(ServiceError::internal("the index cannot be read"));
        }
        Ok(image("a", ""))
    }
}

fn id(number: u128) -> QrCodeId {
    QrCodeId::new(Uuid::from_u128(number))
}

fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::new(Uuid::from_u128(number))
}

fn selection(codes: &[u128]) -> Selection {
    Selection { codes: codes.iter().map(|code| id(*code).uuid()).collect(), ..Default::default() }
}

fn open(folder: &Path) -> QrExports {
    let exports = QrExports::open(folder, RenderPool::small()).unwrap();
    QrExports { retry_delay: Duration::from_millis(1), ..exports }
}

/// Waits until a job has ended.
async fn ended(exports: &QrExports, job: &Job) -> Job {
    let find = || exports.jobs.find(WorkspaceId::new(job.workspace), job.id).unwrap();
    until(|| find().is_over()).await;
    find()
}

async fn until(is_met: impl Fn() -> bool) {
    let wait = async {
        while !is_met() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

#[tokio::test]
async fn a_code_is_read_when_it_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (exports, source) = (open(folder.path()), Source::new(0));
    let first = exports.begin(workspace(1), selection(&[1, 2]), source.clone()).await.unwrap();
    let second = exports.begin(workspace(2), selection(&[3]), source.clone()).await.unwrap();
    until(|| !source.read.lock().unwrap().is_empty()).await;
    for _ in 1..super::super::MAX_OF_WORKSPACE {
        exports.begin(workspace(1), selection(&[4]), source.clone()).await.unwrap();
    }
    let refused = exports.begin(workspace(1), selection(&[5]), source.clone()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(*source.read.lock().unwrap(), [id(1)]);
    source.permits.add_permits(3);
    for job in [first, second] {
        assert_eq!(ended(&exports, &job).await.state, State::Done);
    }
    let read = source.read.lock().unwrap().clone();
    assert!(!read.contains(&id(5)) && read.contains(&id(3)), "{read:?}");
}

#[tokio::test]
async fn an_export_fails_if_the_index_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (exports, source) = (open(folder.path()), Source::new(9));
    let job = exports.begin(workspace(1), selection(&[1, BROKEN, 2]), source).await.unwrap();
    let ended = ended(&exports, &job).await;
    assert_eq!((ended.state, exports.file(&ended)), (State::Failed, None));
}

#[tokio::test]
async fn a_deleted_code_and_a_damaged_logo_have_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let exports = open(folder.path());
    let archive = Archive::create(&path, |_, _| Ok(())).unwrap();
    let deleted = Image::of_deleted(id(1));
    let reason = deleted.spec.clone().map(drop);
    let archive = archive.add(&deleted, reason.map(|()| Vec::new())).unwrap();
    let StoredSpec { content, style, .. } = image("a", "").spec.unwrap();
    let logo = LogoId::new(Uuid::from_u128(1));
    let damaged = StoredSpec { content, style, logo: Some((logo, b"damaged".to_vec())) };
    let drawn = exports.draw(&damaged, ImageFormat::Png, 300).await.unwrap();
    archive.add(&image("a", ""), drawn).unwrap().finish().unwrap();
    let lines = index(&path);
    assert_eq!(lines[1], format!(",{},,,,the code was deleted", id(1)));
    assert_eq!(lines[2], ",qr_1,link_1,https://sho.rt/a,,the logo is damaged");
}

#[tokio::test]
async fn a_busy_pool_is_tried_again_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (exports, source) = (open(folder.path()), Source::new(9));
    let ((report_start, started), (release, released)) =
        (oneshot::channel(), mpsc::channel::<()>());
    let mut working = pin!(exports.pool.run(move |_: &CancellationToken| {
        let _ = (report_start.send(()), released.recv());
    }));
    assert!((&mut working).now_or_never().is_none());
    started.await.unwrap();
    let mut queued = pin!(exports.pool.run(|_: &CancellationToken| ()));
    assert!((&mut queued).now_or_never().is_none());
    let job = exports.begin(workspace(1), selection(&[1]), source.clone()).await.unwrap();
    let failed = ended(&exports, &job).await;
    assert_eq!(failed.state, State::Failed);
    assert!(failed.error.unwrap().contains("Too many images"));
    let job = exports.begin(workspace(1), selection(&[2]), source.clone()).await.unwrap();
    until(|| source.read.lock().unwrap().len() == 2).await;
    drop(release);
    let _ = tokio::join!(working, queued);
    let done = ended(&exports, &job).await;
    assert_eq!((done.state, done.details.failed), (State::Done, 0));
}
