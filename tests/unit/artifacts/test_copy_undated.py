"""A sealed folder within an artifact: of the same content whenever it was created."""

import json

from headrace.artifacts.folder import MANIFEST, copy_undated, read_manifest, write_folder


def test_folders_of_other_times_are_copied_to_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with write_folder(tmp_path / name, "headrace/test", 1, {"x": 1}) as folder:
            (folder / "file").write_text("content")
        manifest = tmp_path / name / MANIFEST
        said = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**said, "created": f"2026-01-0{1 + (name == 'b')}T00:00:00+00:00"}))
        copy_undated(tmp_path / name, tmp_path / f"{name}-copy")
    one, other = (tmp_path / f"{name}-copy" for name in ("a", "b"))
    assert (tmp_path / "a" / MANIFEST).read_bytes() != (tmp_path / "b" / MANIFEST).read_bytes()
    assert (one / MANIFEST).read_bytes() == (other / MANIFEST).read_bytes()
    found = read_manifest(one, "headrace/test", 1)
    assert (found.digest, found.created) == (read_manifest(tmp_path / "a", "headrace/test", 1).digest, "")
