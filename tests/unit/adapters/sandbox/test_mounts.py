from lamella.adapters.sandbox.mounts import Mount, parse_mounts


def test_the_mount_table_is_parsed() -> None:
    text = "/dev/vda / ext4 rw,relatime 0 0\ntmpfs /mnt/with\\040blank tmpfs ro 0 0\n"
    assert parse_mounts(text) == [
        Mount("/dev/vda", "/", "ext4", ("rw", "relatime")),
        Mount("tmpfs", "/mnt/with blank", "tmpfs", ("ro",)),
    ]
    assert parse_mounts("") == []
