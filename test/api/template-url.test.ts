/** Templates that a TemplateURL names: those of the assets bucket, of this server, and no others. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { stackActions } from '../../src/api/actions/stacks.ts';
import { putObject } from '../../src/api/s3/objects.ts';
import { change } from '../estate/world.ts';
import { makeActions, type Actions } from './actions.ts';
import { group, rejects, textOf } from './stack-world.ts';

/** What callers of makeActions call the server. */
const HOST = 'localhost:8773';
const BUCKET = 'cdk-hnb659fds-assets-123456789012-us-east-1';
const TEMPLATE = textOf({ Resources: { Web: group() } });

async function open(
  t: TestContext,
  objects: Readonly<Record<string, string | Buffer>>,
): Promise<Actions> {
  const api = await makeActions(t, stackActions);
  for (const [key, body] of Object.entries(objects))
    await change(api.client, (edit) => {
      putObject(edit, { key, body: Buffer.from(body), contentType: 'x' });
      return { ok: true, value: undefined };
    });
  return api;
}

const create = (api: Actions, url: string, more: object = {}): Promise<unknown> =>
  api.call('CreateStack', { StackName: 'shop', TemplateURL: url, ...more });

for (const url of [
  `http://${HOST}/${BUCKET}/a/t%20.json`,
  `https://${HOST}/${BUCKET}/a/t%20.json`,
  `http://${BUCKET}.${HOST}/a/t%20.json`,
])
  test(`a stack is made of ${url}`, async (t) => {
    const api = await open(t, { 'a/t .json': TEMPLATE });
    const { Description } = await api.call('ValidateTemplate', { TemplateURL: url });
    assert.equal(Description, undefined);
    await create(api, url);
    const { TemplateBody } = await api.call('GetTemplate', { StackName: 'shop' });
    assert.equal(TemplateBody, TEMPLATE);
  });

test('no other address is read, and none is asked', async (t) => {
  const asked: (string | undefined)[] = [];
  const stranger = createServer(({ url }, response) => {
    asked.push(url);
    response.end(TEMPLATE);
  });
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => stranger.close(resolve)));
  const { port } = stranger.address() as AddressInfo;
  const api = await open(t, { 't.json': TEMPLATE });
  for (const url of [
    `http://127.0.0.1:${port}/t.json`,
    `http://127.0.0.1:${port}/${BUCKET}/t.json`,
    `http://${BUCKET}.localhost:${port}/t.json`,
    `http://169.254.169.254/${BUCKET}/t.json`,
    `https://${BUCKET}.s3.us-east-1.amazonaws.com/t.json`,
    `https://s3.amazonaws.com/${BUCKET}/t.json`,
    `http://${HOST}@127.0.0.1:${port}/${BUCKET}/t.json`,
    `http://user@${HOST}/${BUCKET}/t.json`,
    `http://${HOST}/${BUCKET}/t.json?versionId=1`,
    `http://${HOST}/${BUCKET}/`,
    `http://${HOST}/${BUCKET}`,
    `http://${HOST}/other/t.json`,
    `http://${HOST}.example/${BUCKET}/t.json`,
    `s3://${BUCKET}/t.json`,
    'file:///etc/passwd',
    'nonsense',
    '',
  ])
    await rejects(create(api, url), /^TemplateURL must be a supported URL\. \(Nothing is fetched/);
  assert.deepEqual(asked, []);
  assert.equal(api.client.estate.list('groups').length, 1);
});

test('an object that is no template is told as such', async (t) => {
  const api = await open(t, {
    large: 'x'.repeat((256 << 10) + 1),
    bytes: Buffer.of(0xff, 0xfe),
    text: 'no template',
  });
  const at = (key: string): string => `http://${HOST}/${BUCKET}/${key}`;
  await rejects(create(api, at('none')), 'S3 error: The specified key does not exist: none');
  await rejects(create(api, at('large')), 'Template may not exceed 262144 bytes in size.');
  await rejects(create(api, at('bytes')), 'Template format error: the template is not UTF-8');
  await rejects(create(api, at('text')), /^Template format error/);
  await rejects(create(api, at('text'), { TemplateBody: TEMPLATE }), /only TemplateBody or/);
});

test('a template as large as may be, of which JSON makes more, is made a stack of', async (t) => {
  const comment = `{"Description":"${'é'.repeat(400)}","Metadata":{"x":"`;
  const end = `"},"Resources":${JSON.stringify({ Web: group() })}}`;
  const room = (256 << 10) - Buffer.byteLength(comment + end);
  const body = comment + '\\"'.repeat(room >> 1) + end;
  const api = await open(t, { 't.json': body });
  await create(api, `http://${HOST}/${BUCKET}/t.json`);
  const { TemplateBody } = await api.call('GetTemplate', { StackName: 'shop' });
  assert.ok(TemplateBody === body);
});
