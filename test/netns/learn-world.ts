/** The application that tests of learning run: clients ask `web`, which asks `db` for each request. */
import { run, type CommandResult, type Running } from '../support/process.ts';
import type { Netns } from '../support/netns.ts';
import { SGCTL } from '../support/sgctl.ts';

export const WEB = '10.0.0.11';
export const DB = '10.0.0.12';

/** Answers over HTTP; `web` asks `db` for each request, and tells a log by UDP that never answers. */
const WEB_SERVER = `
import http.server, socket, urllib.request
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = urllib.request.urlopen('http://${DB}:5432/', timeout=5).read()
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'asked', ('${DB}', 5140))
        self.send_response(200); self.end_headers(); self.wfile.write(b'web ' + body)
    def log_message(self, *rest): pass
print('ready', flush=True)
Server(('::', 8080), Handler).serve_forever()
`;
const DB_SERVER = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'db')
    def log_message(self, *rest): pass
server = http.server.ThreadingHTTPServer(('', int(sys.argv[1])), Handler)
print('ready', flush=True)
server.serve_forever()
`;

/** Starts it, with another service at `db` that is none of its own. */
export async function startApplication({
  web,
  db,
}: Readonly<Record<'web' | 'db', Netns>>): Promise<void> {
  for (const [netns, script, port] of [
    [db, DB_SERVER, '5432'],
    [db, DB_SERVER, '9000'],
    [web, WEB_SERVER, '8080'],
  ] as const) {
    const server = await netns.start('python3', ['-c', script, port]);
    await server.waitFor(/^ready$/m);
  }
}

export async function ask(netns: Netns, place: string, seconds = 5): Promise<string> {
  const { stdout } = await netns.run('curl', ['-gsS', '-m', String(seconds), `http://${place}/`]);
  return stdout;
}

/** As Ctrl-C does: it proposes what was seen until then. */
export async function interrupt(learning: Running): Promise<CommandResult> {
  process.kill(learning.pid, 'SIGINT');
  return learning.ended;
}

export const sgctl = (...args: readonly string[]): Promise<CommandResult> =>
  run(process.execPath, [SGCTL, ...args]);
