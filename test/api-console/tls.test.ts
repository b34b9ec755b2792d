/** The program's console with a certificate: by which names it may be asked, and from which pages. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../store/folder.ts';
import { startApiProgram } from '../support/api-program.ts';
import { mustRun } from '../support/process.ts';
import { requireTools } from '../support/require.ts';

test('names are those of the certificate, and pages those of these names', async (t) => {
  if (!requireTools(t, 'openssl')) return;
  const folder = makeFolder(t);
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await mustRun('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', '/CN=console.example', '-keyout', key, '-out', cert],
    ...['-addext', 'subjectAltName=DNS:console.example,IP:192.0.2.1'],
  ]);
  const { server } = await startApiProgram(folder, {
    more: ['--console', '0.0.0.0:0', '--tls-cert', cert, '--tls-key', key],
  });
  t.after(() => server.stop());
  const said = await server.waitFor(/"console":"https:\/\/0\.0\.0\.0:(\d+)\/"/);
  const port = Number(said[1]);
  const statusFor = (host: string, more: Readonly<Record<string, string>> = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { host, ...more };
      const options = { host: '127.0.0.1', port, path: '/api/sign-in', headers };
      request({ ...options, rejectUnauthorized: false, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
  const name = `console.example:${port}`;
  assert.equal(await statusFor(name), 200);
  assert.equal(await statusFor(`192.0.2.1:${port}`), 200);
  assert.equal(await statusFor(`localhost:${port}`), 200);
  for (const wrong of ['evil.example', '192.0.2.2', 'x.console.example'])
    assert.equal(await statusFor(`${wrong}:${port}`), 403, wrong);
  assert.equal(await statusFor('console.example'), 403, 'port 443 is meant');
  assert.equal(await statusFor(name, { origin: `https://${name}` }), 200);
  assert.equal(await statusFor(name, { origin: `http://${name}` }), 403);
  assert.equal(await statusFor(name, { origin: `https://192.0.2.1:${port}` }), 403);
});
