"""Shared libraries that AWS's execution environments have, as far as it is known.

AWS promises none. The C library and those of the compiler are there for certain, as AWS's own programs need them.
Others are in the images of the operating system, but the execution environment may lack what an image has: functions
with `python3.12` do not find `libexpat.so.1`, which is in the base image (eoapi-cdk #181, titiler discussion 1108), and
those on Amazon Linux 2 found neither `libcrypt.so.1` (aws-lambda-perl5-layer #6) nor libcurl and libxml2
(lambgeo/docker-lambda #34), nor what libcurl needs: libidn2, libnghttp2, libunistring and libraries of NSS
(lambci/docker-lambda #337). What is in neither set is not there, or is not known to be.

Sources: Amazon Linux 2023 user guide, "lambda" (`provided.al2023` is built on the minimal container image, and the
other runtimes on it) and "al2023-container-image-types" (its packages); for Amazon Linux 2, what functions have in
`/lib64` by public issues (awslabs/aws-media-replay-engine #13, lambgeo/docker-lambda #34).
"""

from typing import Final

CERTAIN: Final = frozenset(
    {
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libBrokenLocale.so.1",
        "libanl.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libmvec.so.1",
        "libnss_dns.so.2",
        "libnss_files.so.2",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libstdc++.so.6",
        "libthread_db.so.1",
        "libutil.so.1",
        "libz.so.1",
        "linux-vdso.so.1",
    }
)
"""glibc, libgcc, libstdc++, and zlib, which wheels may rely on (PEP 600) and which runtimes load themselves."""

_BOTH: Final = frozenset(
    {
        "libacl.so.1",
        "libattr.so.1",
        "libbz2.so.1",
        "libcap.so.2",
        "libcom_err.so.2",
        "libglib-2.0.so.0",
        "libgmp.so.10",
        "libgpg-error.so.0",
        "libgssapi_krb5.so.2",
        "libk5crypto.so.3",
        "libkeyutils.so.1",
        "libkrb5.so.3",
        "libkrb5support.so.0",
        "liblzma.so.5",
        "libncurses.so.6",
        "libncursesw.so.6",
        "libselinux.so.1",
        "libsqlite3.so.0",
        "libtinfo.so.6",
        "libuuid.so.1",
        "libverto.so.1",
    }
)

AL2_DOUBTFUL: Final = _BOTH | {
    "libcrypto.so.10",
    "libdb-5.3.so",
    "libffi.so.6",
    "libgcrypt.so.11",
    "liblua-5.1.so",
    "libnspr4.so",
    "libnssutil3.so",
    "libpcre.so.1",
    "libplc4.so",
    "libplds4.so",
    "libreadline.so.6",
    "libssl.so.10",
}
"""Of Amazon Linux 2."""

AL2023_DOUBTFUL: Final = _BOTH | {
    "libarchive.so.13",
    "libblkid.so.1",
    "libcrypt.so.2",
    "libcrypto.so.3",
    "libcurl.so.4",
    "libffi.so.8",
    "libgcrypt.so.20",
    "libgio-2.0.so.0",
    "libgmodule-2.0.so.0",
    "libgobject-2.0.so.0",
    "libgomp.so.1",
    "libidn2.so.0",
    "liblz4.so.1",
    "libmount.so.1",
    "libnghttp2.so.14",
    "libpcre2-8.so.0",
    "libpsl.so.5",
    "libreadline.so.8",
    "libsmartcols.so.1",
    "libssl.so.3",
    "libunistring.so.2",
    "libxml2.so.2",
    "libzstd.so.1",
}
"""Of Amazon Linux 2023."""
