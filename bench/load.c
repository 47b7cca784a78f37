/* Invokes one function over and over, each connection waiting for its answer before it sends again, and says how long
 * that took. It shares a processor with what it measures, so it does as little as it can: no library, no allocation, one
 * write and one read for each request.
 *
 * usage: load PORT FUNCTION CONNECTIONS SECONDS PAYLOAD     (127.0.0.1; prints one line of JSON) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 256, MOST_SAMPLES = 4 * 1000 * 1000 };

struct connection {
    int fd;
    size_t got;
    double sent_us;
    char buffer[65536];
};

static struct connection connections[MOST_CONNECTIONS];
static float samples_us[MOST_SAMPLES];
static char request[16384];
static size_t request_size, samples, errors;
static char first_error[512];

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct connection *connection) {
    connection->got = 0;
    connection->sent_us = now_us();
    if (write(connection->fd, request, request_size) != (ssize_t)request_size) fail("write");
}

/* Reads what is there. True when the answer is complete. */
static int read_answer(struct connection *connection) {
    char *buffer = connection->buffer;
    ssize_t size = read(connection->fd, buffer + connection->got, sizeof connection->buffer - 1 - connection->got);
    if (size < 0) fail("read");
    if (size == 0) {
        errno = ECONNRESET;
        fail("the server closed the connection");
    }
    connection->got += (size_t)size;
    buffer[connection->got] = 0;
    char *end = strstr(buffer, "\r\n\r\n");
    if (!end) return 0;
    char *field = strcasestr(buffer, "\r\ncontent-length:");
    if (!field || field > end) {
        errno = EPROTO;
        fail("an answer without Content-Length");
    }
    if (connection->got < (size_t)(end - buffer) + 4 + strtoul(field + 17, NULL, 10)) return 0;
    double took_us = now_us() - connection->sent_us;
    if (samples < MOST_SAMPLES) samples_us[samples++] = (float)took_us;
    char *error = strcasestr(buffer, "\r\nx-amz-function-error:");
    if (memcmp(buffer, "HTTP/1.1 200", 12) || (error && error < end)) {
        if (!errors++) snprintf(first_error, sizeof first_error, "%.500s", buffer);
    }
    return 1;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile_us(double part) {
    return samples ? samples_us[(size_t)((double)(samples - 1) * part + 0.5)] : 0;
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "usage: load PORT FUNCTION CONNECTIONS SECONDS PAYLOAD\n");
        return 2;
    }
    int width = atoi(arguments[3]);
    double run_us = atof(arguments[4]) * 1e6;
    if (width < 1 || width > MOST_CONNECTIONS) return 2;
    request_size = (size_t)snprintf(
        request, sizeof request,
        "POST /2015-03-31/functions/%s/invocations HTTP/1.1\r\n"
        "Host: 127.0.0.1:%s\r\n"
        "Accept-Encoding: identity\r\n"
        "User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11.2\r\n"
        "X-Amz-Date: 20260101T000000Z\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n"
        "amz-sdk-invocation-id: 00000000-0000-4000-8000-000000000000\r\n"
        "amz-sdk-request: attempt=1\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        arguments[2], arguments[1], strlen(arguments[5]), arguments[5]);
    if (request_size >= sizeof request) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1]))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int poller = epoll_create1(EPOLL_CLOEXEC), on = 1;
    for (int at = 0; at < width; at++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[at].fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[at]};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
    double began_us = now_us(), end_us = began_us + run_us, ended_us = began_us;
    for (int at = 0; at < width; at++) send_request(&connections[at]);
    for (int running = width; running;) {
        struct epoll_event ready[MOST_CONNECTIONS];
        int some = 1;
        /* With one connection the read itself waits, which saves a system call. */
        if (width == 1) ready[0].data.ptr = &connections[0];
        else some = epoll_wait(poller, ready, width, -1);
        if (some < 0 && errno != EINTR) fail("epoll_wait");
        for (int at = 0; at < some; at++) {
            struct connection *connection = ready[at].data.ptr;
            if (!read_answer(connection)) continue;
            ended_us = now_us();
            if (ended_us < end_us) send_request(connection);
            else running--;
        }
    }
    double elapsed_s = (ended_us - began_us) / 1e6;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(samples_us, samples, sizeof *samples_us, compare);
    if (errors) fprintf(stderr, "load: %zu answers were errors, the first:\n%s\n", errors, first_error);
    printf("{\"count\": %zu, \"errors\": %zu, \"elapsed_s\": %.6f, \"cpu_s\": %.6f, \"rate\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           samples, errors, elapsed_s, cpu_s, (double)samples / elapsed_s, quantile_us(0.5), quantile_us(0.99));
    return errors ? 1 : 0;
}
