// Puts an object in the ways that minio-go signs bodies, and gets it back. Over plain HTTP it signs each chunk.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Arguments: host:port, access key, secret, session token, region, bucket.
func main() {
	address, bucket := os.Args[1], os.Args[6]
	for _, way := range []struct {
		name      string
		trailer   bool
		multipart bool
	}{{"chunks", false, false}, {"trailer", true, false}, {"parts", false, true}, {"parts-trailer", true, true}} {
		client, err := minio.New(address, &minio.Options{
			Creds:           credentials.NewStaticV4(os.Args[2], os.Args[3], os.Args[4]),
			Region:          os.Args[5],
			TrailingHeaders: way.trailer,
		})
		check(err)
		options := minio.PutObjectOptions{DisableMultipart: !way.multipart, PartSize: 5 << 20}
		for _, size := range []int{0, 1, 65536, 200_000, 6 << 20} {
			body := make([]byte, size)
			rand.Read(body)
			key := fmt.Sprintf("%s/a b/ü %d", way.name, size)
			_, err = client.PutObject(context.Background(), bucket, key, bytes.NewReader(body), int64(size), options)
			check(err)
			object, err := client.GetObject(context.Background(), bucket, key, minio.GetObjectOptions{})
			check(err)
			found, err := io.ReadAll(object)
			check(err)
			if !bytes.Equal(found, body) {
				check(fmt.Errorf("%s is another than was put", key))
			}
			fmt.Println(key)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
