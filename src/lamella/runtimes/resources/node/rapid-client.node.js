'use strict';

// What AWS's runtime client asks the Runtime API by: its own `rapid-client.node` is C++ around libcurl and would have to
// be compiled on this machine; this has the same three functions. The client asks for './rapid-client.node', and Node.js
// finds this file, because there is none of that name.
//
// As there, `done` and `error` have handed everything to the kernel when they return, so that a process that ends right
// after has still answered; the Runtime API's answers to them are of no interest to the client. Unlike there, they are
// not waited for: `next` asks behind them on the same connection (HTTP/1.1 pipelining), and only a process that ends
// waits until its answer has been taken, else the platform might see the end first.

const fs = require('node:fs');
const net = require('node:net');

const [HOST, PORT] = (process.env.AWS_LAMBDA_RUNTIME_API ?? '').split(':');
const NEXT = Buffer.from(`GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: ${HOST}:${PORT}\r\n\r\n`);
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const LAST_ANSWER_MS = 1000;
// The headers of an event that the client knows; all of them text but the deadline.
const HEADERS = [
  'lambda-runtime-aws-request-id',
  'lambda-runtime-trace-id',
  'lambda-runtime-invoked-function-arn',
  'lambda-runtime-client-context',
  'lambda-runtime-cognito-identity',
  'lambda-runtime-aws-tenant-id',
];
const DEADLINE = 'lambda-runtime-deadline-ms';

const never = new Int32Array(new SharedArrayBuffer(4));

// Sleeps without the event loop: descriptors of sockets do not block.
function sleep(ms) {
  Atomics.wait(never, 0, 0, ms);
}

// Takes answers out of what arrives. The Runtime API sends each with its length.
class Answers {
  #chunks = [];
  #bytes = 0;
  #wanted = 1;

  push(chunk) {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  // The next complete answer, or undefined.
  take() {
    if (this.#bytes < this.#wanted) {
      return undefined;
    }
    const data = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [data];
    const head = data.indexOf(END_OF_HEAD);
    if (head < 0) {
      this.#wanted = this.#bytes + 1;
      return undefined;
    }
    const [statusLine, ...lines] = data.toString('utf8', 0, head).split('\r\n');
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const body = head + END_OF_HEAD.length;
    const end = body + Number(headers['content-length'] ?? 0);
    if (this.#bytes < end) {
      this.#wanted = end;
      return undefined;
    }
    this.#chunks = [data.subarray(end)];
    this.#bytes -= end;
    this.#wanted = 1;
    return { status: Number(statusLine.split(' ')[1]), headers, body: data.toString('utf8', body, end) };
  }
}

class Connection {
  #socket;
  #answers = new Answers();
  #owed = 0; // answers to `post` that have not come yet
  #waiting; // who waits for the answer to `ask`
  open = true;

  static connect() {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: HOST, port: Number(PORT), noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#answers.push(chunk);
      this.#deliver();
    });
    socket.on('error', (error) => this.#close(error));
    socket.on('close', () => this.#close(new Error('the Runtime API has closed the connection')));
  }

  // Sends a request; a promise of its answer.
  ask(request) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      // While the client waits for an event this keeps the process alive; while a handler runs it must not.
      this.#socket.ref();
      this.#write(request);
    });
  }

  // Sends a request whose answer does not matter.
  post(request) {
    this.#owed += 1;
    this.#write(request);
  }

  // Waits until all that was sent has been answered, without the event loop.
  settle() {
    const descriptor = this.#socket._handle?.fd;
    const buffer = Buffer.allocUnsafe(65536);
    const until = Date.now() + LAST_ANSWER_MS;
    while (this.open && this.#owed > 0 && Date.now() < until) {
      try {
        const size = fs.readSync(descriptor, buffer);
        if (size === 0) {
          return;
        }
        this.#answers.push(Buffer.from(buffer.subarray(0, size)));
        this.#deliver();
      } catch (error) {
        if (error.code !== 'EAGAIN') {
          return;
        }
        sleep(1);
      }
    }
  }

  // Hands everything to the kernel before it returns: a stream would leave what does not fit to the event loop.
  #write(data) {
    const descriptor = this.#socket._handle?.fd;
    for (let sent = 0; this.open && sent < data.length; ) {
      try {
        sent += fs.writeSync(descriptor, data, sent);
      } catch (error) {
        if (error.code === 'EAGAIN') {
          sleep(0.2);
        } else {
          this.#close(error);
        }
      }
    }
  }

  #deliver() {
    for (let answer = this.#answers.take(); answer !== undefined; answer = this.#answers.take()) {
      if (this.#owed > 0) {
        this.#owed -= 1;
      } else if (this.#waiting !== undefined) {
        const { resolve } = this.#waiting;
        this.#waiting = undefined;
        this.#socket.unref();
        resolve(answer);
      }
    }
  }

  #close(error) {
    if (this.open) {
      this.open = false;
      this.#socket.destroy();
      this.#waiting?.reject(error);
    }
  }
}

let connection;

// Resolves to the next event: `bodyJson`, and `headers` under their names in lower case.
async function next() {
  let answer;
  if (connection?.open) {
    try {
      answer = await connection.ask(NEXT);
    } catch {
      // Closed by the other side, as after an answer that was too long: asked again, the event is the same.
    }
  }
  if (answer === undefined) {
    connection = await Connection.connect();
    answer = await connection.ask(NEXT);
  }
  if (answer.status !== 200) {
    throw new Error(`Failed to get next invocation, error ${answer.status}`);
  }
  const headers = { [DEADLINE]: Number(answer.headers[DEADLINE]) };
  for (const name of HEADERS) {
    if (answer.headers[name]) {
      headers[name] = answer.headers[name];
    }
  }
  return { bodyJson: answer.body, headers };
}

// Answers the event of this id.
function done(id, body) {
  post(`${id}/response`, [id, body], body, '');
}

// Says that the handler has failed; `xray` is what X-Ray is told of the cause.
function error(id, body, xray) {
  post(`${id}/error`, [id, body, xray], body, `Lambda-Runtime-Function-XRay-Error-Cause: ${xray}\r\n`);
}

function post(path, texts, body, more) {
  if (texts.some((text) => typeof text !== 'string')) {
    throw new TypeError('Wrong arguments'); // as the client takes it from there: a result that JSON cannot say
  }
  if (!connection?.open) {
    return; // no event without a connection, and a lost one shows at `next`
  }
  const head =
    `POST /2018-06-01/runtime/invocation/${path} HTTP/1.1\r\nHost: ${HOST}:${PORT}\r\n` +
    `Content-Type: application/json\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  connection.post(Buffer.from(head + body));
}

process.on('exit', () => connection?.settle());

module.exports = { next, done, error };
