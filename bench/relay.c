/* The floor: what any server between callers and one runtime costs at least. Passes each request body to the runtime
 * and each answer back, and does nothing else: no limits, no deadline, no log, no sandbox, no check of anything.
 *
 * usage: relay CALLERS_PORT RUNTIME_PORT     (127.0.0.1; prints "ready") */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1024 };

static struct { size_t got; char data[65536]; } inputs[MOST];
static int idle_runtime = -1, queue[MOST], first, last; /* callers whose request is complete, as a ring */
static size_t body_at[MOST], body_size[MOST];

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) exit(1);
    return fd;
}

static void answer(int fd, const char *head, const char *body, size_t size) {
    static char out[131072];
    int at = snprintf(out, 1024, "%sContent-Length: %zu\r\n\r\n", head, size);
    memcpy(out + at, body, size);
    if (write(fd, out, (size_t)at + size) < 0) exit(1);
}

static void hand_out(void) {
    if (idle_runtime < 0 || first == last) return;
    int caller = queue[first];
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: %036d\r\n", caller);
    int runtime = idle_runtime;
    idle_runtime = -1;
    first = (first + 1) % MOST;
    answer(runtime, head, inputs[caller].data + body_at[caller], body_size[caller]);
}

static void serve(int fd) {
    char *data = inputs[fd].data, *end;
    ssize_t size = read(fd, data + inputs[fd].got, sizeof inputs[fd].data - 1 - inputs[fd].got);
    if (size <= 0) {
        close(fd);
        inputs[fd].got = 0;
        return;
    }
    inputs[fd].got += (size_t)size;
    data[inputs[fd].got] = 0;
    while ((end = strstr(data, "\r\n\r\n"))) {
        char *field = strcasestr(data, "\r\ncontent-length:");
        size_t head = (size_t)(end - data) + 4, length = field && field < end ? strtoul(field + 17, NULL, 10) : 0;
        if (inputs[fd].got < head + length) return;
        if (!strncmp(data, "GET", 3)) idle_runtime = fd;
        else if (!strncmp(data, "POST /2018", 10)) {
            int caller = atoi(strstr(data, "/invocation/") + 12);
            answer(caller, "HTTP/1.1 200 OK\r\n", data + head, length);
            answer(fd, "HTTP/1.1 202 Accepted\r\n", "", 0);
        } else {
            /* A caller sends nothing more before it is answered: its bytes may stay where they are. */
            body_at[fd] = head;
            body_size[fd] = length;
            queue[last] = fd;
            last = (last + 1) % MOST;
            inputs[fd].got = 0;
            hand_out();
            return;
        }
        inputs[fd].got -= head + length;
        memmove(data, data + head + length, inputs[fd].got + 1);
        hand_out();
    }
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    int poller = epoll_create1(0), listeners[2] = {listen_on(atoi(arguments[1])), listen_on(atoi(arguments[2]))};
    for (int at = 0; at < 2; at++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = listeners[at]};
        epoll_ctl(poller, EPOLL_CTL_ADD, listeners[at], &event);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[64];
        int some = epoll_wait(poller, ready, 64, -1);
        for (int at = 0; at < some; at++) {
            int fd = ready[at].data.fd, on = 1;
            if (fd != listeners[0] && fd != listeners[1]) {
                serve(fd);
                continue;
            }
            struct epoll_event event = {.events = EPOLLIN, .data.fd = accept(fd, NULL, NULL)};
            if (event.data.fd < 0 || event.data.fd >= MOST) exit(1);
            setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
