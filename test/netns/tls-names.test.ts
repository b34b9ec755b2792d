/**
 * `tlsName: required` with real programs: curl, openssl and Python's ssl, a server of TLS beyond the uplink that says which
 * server name it was asked for, and all of the daemon between.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { runSgctl } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const RESOLVER = '198.51.100.53';
const SERVER = '203.0.113.10';
const SERVER6 = '2001:db8:a::10';
const NAME = 'api.test';

/** Answers each request with the server name of its connection. */
const TLS_SERVER = `
import http.server, socket, ssl, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (getattr(self.connection, 'said', None) or 'nothing').encode() + b'\\n'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
def note(connection, name, _): connection.said = name
context.sni_callback = note
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    def handle_error(self, *args): pass
server = Server(('::', 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print('ready', flush=True)
server.serve_forever()
`;

/** Says a name in a ClientHello that goes out in pieces of so many bytes, and prints what the server answers. */
const PIECES = `
import socket, ssl, sys, time
address, name, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
sock = socket.create_connection((address, 443), 5)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.settimeout(5)
def pump():
    data = outgoing.read()
    for at in range(0, len(data), size):
        sock.sendall(data[at:at + size])
def reading(what):
    while True:
        try:
            return what()
        except ssl.SSLWantReadError:
            pump()
            incoming.write(sock.recv(65536))
reading(tls.do_handshake)
tls.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
pump()
print(reading(lambda: tls.read(65536)).decode().split('\\r\\n\\r\\n')[-1] or reading(lambda: tls.read(65536)).decode())
`;

interface Place {
  readonly agent: Netns;
  readonly outside: Netns;
  readonly daemon: Daemon;
  readonly control: string;
  /** The server's answer to a request by TLS with this name; '' if none came. */
  readonly ask: (name: string, ...more: readonly string[]) => Promise<string>;
}

async function makePlace(t: TestContext, { workers = 1, more = '' } = {}): Promise<Place> {
  const { agent, outside } = await makeNamespaces(t, ['agent', 'outside']);
  const file = temporaryFile(
    t,
    'tls-names.yaml',
    `
workers: ${workers}
uplink: { tun: up0, netns: ${outside.path}, addresses: [198.51.100.1/24, '2001:db8:51::1/64'] }
securityGroups:
  agent:
    egress:
      - { protocol: udp, ports: 53, to: ${RESOLVER}/32 }
      - { protocol: tcp, ports: 443, to: ['dns:${NAME}', 'dns:*.web.test'], tlsName: required }
interfaces:
  agent: { device: { netns: ${agent.path}, name: eth0 }, addresses: [10.0.0.11, 'fd00:10::11'], securityGroups: [agent]${more} }
metrics: { listen: 127.0.0.1:0 }
`,
  );
  const folder = join(file, '..');
  const control = join(folder, 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', control]);
  for (const address of [`${RESOLVER}/32`, `${SERVER}/32`, `${SERVER6}/128`])
    await outside.mustRun('ip', ['address', 'add', address, 'dev', 'lo']);
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  // prettier-ignore
  await outside.mustRun('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', certificate, '-subj', `/CN=${NAME}`, '-days', '2']);
  const server = await outside.start('python3', ['-c', TLS_SERVER, certificate, key]);
  await server.waitFor(/^ready$/m);
  // prettier-ignore
  const resolver = await outside.start('dnsmasq', ['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', `--listen-address=${RESOLVER}`, '--bind-interfaces', '--pid-file=', '--log-facility=-', `--host-record=${NAME},${SERVER},${SERVER6}`, `--address=/web.test/${SERVER}`]);
  await resolver.waitFor(/started, version/);
  for (const type of ['A', 'AAAA'])
    await agent.mustRun('dig', [`@${RESOLVER}`, '+short', '+notcp', NAME, type]);
  const ask = async (name: string, ...options: readonly string[]): Promise<string> => {
    const resolved = ['--resolve', `${name}:443:${SERVER}`, '-gksS', '-m', '3'];
    return (await agent.run('curl', [...resolved, ...options, `https://${name}/`])).stdout;
  };
  return { agent, outside, daemon, control, ask };
}

function hasTools(t: TestContext): boolean {
  return canRun(t) && requireTools(t, 'openssl', 'python3', 'dnsmasq', 'dig');
}

for (const workers of [1, 2])
  test(`the right name passes, and nothing else, with ${workers} packet loop(s)`, async (t) => {
    if (!hasTools(t)) return;
    const { agent, daemon, ask } = await makePlace(t, { workers });
    assert.equal(await ask(NAME), `${NAME}\n`);
    assert.equal(await ask(NAME.toUpperCase()), `${NAME}\n`);
    const six = ['--resolve', `${NAME}:443:[${SERVER6}]`, '-gksS', '-m', '3', `https://${NAME}/`];
    assert.equal((await agent.run('curl', six)).stdout, `${NAME}\n`);
    const drops = await daemon.dropsDuring(async () => {
      assert.equal(await ask('other.test'), '');
      assert.equal(await ask('a.web.test'), '', 'a rule requires it, and it has not this address');
      const plain = ['-gsS', '-m', '2', `http://${SERVER}:443/`];
      assert.equal((await agent.run('curl', plain)).stdout, '');
      const nameless = ['-gksS', '-m', '2', `https://${SERVER}/`];
      assert.equal((await agent.run('curl', nameless)).stdout, '', 'an address is no name');
    });
    assert.ok((drops['agent egress tls-name'] ?? 0) >= 4, JSON.stringify(drops));
    await agent.mustRun('dig', [`@${RESOLVER}`, '+short', '+notcp', 'a.web.test']);
    assert.equal(await ask('a.web.test'), 'a.web.test\n', 'now it has');
  });

test('openssl: with -servername it shakes hands, also by a ClientHello of several segments, and with -noservername not', async (t) => {
  if (!hasTools(t)) return;
  const { agent } = await makePlace(t);
  const handshake = async (...options: readonly string[]): Promise<boolean> => {
    const args = ['3', 'openssl', 's_client', '-connect', `${SERVER}:443`, ...options];
    const { stdout } = await agent.run('timeout', args, { input: 'Q\n' });
    return /Verification|Verify return code/.test(stdout) && /Server certificate\n-----BEGIN/.test(stdout); // prettier-ignore
  };
  const many = Array.from({ length: 20 }, (_, i) => `protocol-${i}-${'x'.repeat(200)}`).join(',');
  assert.equal(await handshake('-servername', NAME), true);
  assert.equal(await handshake('-servername', NAME, '-tls1_2'), true);
  assert.equal(await handshake('-servername', NAME, '-alpn', many), true, '4 KB');
  assert.equal(await handshake('-servername', 'other.test'), false);
  assert.equal(await handshake('-servername', 'other.test', '-alpn', many), false);
  assert.equal(await handshake('-noservername'), false);
});

test('a ClientHello in small segments, and one to a server with a small MSS', async (t) => {
  if (!hasTools(t)) return;
  const { agent, outside } = await makePlace(t);
  const pieces = async (name: string, size: number): Promise<string> =>
    (await agent.run('python3', ['-c', PIECES, SERVER, name, String(size)])).stdout.trim();
  for (const size of [1, 7, 100]) assert.equal(await pieces(NAME, size), NAME, String(size));
  assert.equal(await pieces('other.test', 7), '');
  const route = (await outside.mustRun('ip', ['route', 'get', '10.0.0.11'])).split('\n')[0];
  const device = /dev (\S+)/.exec(route)![1];
  // prettier-ignore
  await outside.mustRun('ip', ['route', 'replace', '10.0.0.11/32', 'dev', device, 'advmss', '120']);
  assert.equal(await pieces(NAME, 65_536), NAME, 'cut by TCP');
  assert.equal(await pieces('other.test', 65_536), '');
});

test('drops, trace and explain tell of it', async (t) => {
  if (!hasTools(t)) return;
  const { ask, control } = await makePlace(t);
  assert.equal(await ask('other.test'), '');
  const { stdout } = runSgctl(['drops', '--socket', control]);
  assert.match(stdout, /tls-name/);
  const asked = runSgctl(['explain', `agent -> ${SERVER} tcp 443`, '--socket', control]);
  assert.equal(asked.code, 0, asked.stdout);
  // prettier-ignore
  assert.match(asked.stdout.replaceAll(/\s+/g, ' '), /tcp 443 to dns:api\.test \(TLS name required\).* the connection must begin with TLS, and its server name must be api\.test/);
});

test('audit passes what has another name, and counts it', async (t) => {
  if (!hasTools(t)) return;
  const { ask, daemon, control } = await makePlace(t, { more: ', audit: true' });
  const counted = async (): Promise<number> =>
    (await daemon.metrics()).get('secgroupd_audited_packets_total{interface="agent",direction="egress"}') ?? 0; // prettier-ignore
  assert.equal(await ask(NAME), `${NAME}\n`);
  const before = await counted();
  assert.equal(await ask('other.test'), 'other.test\n');
  assert.ok((await counted()) > before);
  const { stdout } = runSgctl(['drops', '--audit', '--reason', 'tls-name', '--socket', control]);
  assert.match(stdout, /^ *\d+ +agent +egress +tls-name /m);
  assert.match(stdout, /^agent egress, tls-name:\n {2}#\d+ .* 10\.0\.0\.11:\d+ > \S+:443 /m);
});
