/** What instance metadata says of an instance, and tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookUp, metadataOf } from '../../src/metadata/metadata-tree.ts';
import { Tokens } from '../../src/metadata/tokens.ts';
import { WEB } from './instances.ts';

const get = (path: string, instance = WEB, hasTags = false): string | undefined =>
  lookUp(metadataOf(instance, hasTags), path.split('/'));

test('categories have the values of the interface', () => {
  assert.equal(lookUp(metadataOf(WEB, false), []), 'meta-data/');
  assert.equal(
    get('meta-data/'),
    'hostname\ninstance-id\nipv6\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nsecurity-groups',
  );
  assert.equal(get('meta-data'), get('meta-data/'));
  assert.equal(get('meta-data/instance-id'), 'i-0123456789abcdef0');
  assert.equal(get('meta-data/instance-id/'), get('meta-data/instance-id'));
  assert.equal(get('meta-data/local-ipv4'), '10.0.0.11');
  assert.equal(get('meta-data/local-hostname'), 'ip-10-0-0-11');
  assert.equal(get('meta-data/security-groups'), 'web\nbase');
  const mac = 'meta-data/network/interfaces/macs/02:78:9a:bc:de:f0';
  assert.equal(get('meta-data/network/interfaces/macs/'), '02:78:9a:bc:de:f0/');
  assert.equal(
    get(`${mac}/`),
    'device-number\ninterface-id\nipv6s\nlocal-hostname\nlocal-ipv4s\nmac\nsecurity-group-ids\nsecurity-groups\nsubnet-ipv4-cidr-block\nvpc-id\nvpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks',
  );
  assert.equal(get(`${mac}/local-ipv4s`), '10.0.0.11\n10.0.0.12');
  assert.equal(get(`${mac}/security-group-ids`), 'sg-1\nsg-2');
  assert.equal(get(`${mac}/vpc-ipv4-cidr-block`), '10.0.0.0/16');
});

test('what calls of the API have told of an interface is there, and nothing is made up for the rest', () => {
  const told = { instanceId: 'i-00000000000000077', deviceIndex: 1, subnetId: 'subnet-1' };
  const web = { ...WEB, ...told, zone: 'eu-central-1b' };
  const mac = 'meta-data/network/interfaces/macs/02:78:9a:bc:de:f0';
  assert.equal(get('meta-data/instance-id', web), 'i-00000000000000077');
  assert.equal(get(`${mac}/device-number`, web), '1');
  assert.equal(get(`${mac}/subnet-id`, web), 'subnet-1');
  assert.equal(get('meta-data/placement/', web), 'availability-zone\nregion');
  assert.equal(get('meta-data/placement/availability-zone', web), 'eu-central-1b');
  assert.equal(get('meta-data/placement/region', web), 'eu-central-1');
  assert.deepEqual(JSON.parse(get('dynamic/instance-identity/document', web)!), {
    availabilityZone: 'eu-central-1b',
    instanceId: 'i-00000000000000077',
    privateIp: '10.0.0.11',
    region: 'eu-central-1',
    version: '2017-09-30',
  });
  assert.equal(get('dynamic/instance-identity/', web), 'document', 'nobody has signed it');
  const local = { ...web, zone: 'us-west-2-lax-1a' };
  assert.equal(get('meta-data/placement/region', local), 'us-west-2');
  for (const zone of ['nowhere', 'us-east-1', ''])
    assert.equal(get('meta-data/placement/region', { ...web, zone }), undefined, zone);
});

test('what is not known is not there', () => {
  for (const path of [
    ...['meta-data/ami-id', 'meta-data/iam/', 'user-data', 'dynamic/', 'meta-data/toString'],
    ...['meta-data/instance-id//', 'meta-data/instance-id/x', 'meta-data//', '', 'meta-data/tags/'],
  ])
    if (path !== '') assert.equal(get(path), undefined, path);
  const bare = { ...WEB, addresses: ['fd00:10::11'], name: 'Web_1', subnets: [], groups: [] };
  assert.equal(get('meta-data/local-ipv4', bare), undefined);
  assert.equal(get('meta-data/local-hostname', bare), 'web-1');
  assert.equal(get('meta-data/hostname', { ...bare, name: '...' }), WEB.id);
});

test('tags are told where that is asked for, and only those whose keys a path can have', () => {
  const tags = { Name: 'web 1', 'aws:x': 'y', 'a/b': '1', 'a b': '2', '..': '3', é: '4' };
  const tagged = { ...WEB, tags };
  assert.equal(get('meta-data/tags/instance/', tagged, true), 'Name\naws:x');
  assert.equal(get('meta-data/tags/instance/Name', tagged, true), 'web 1');
  assert.equal(get('meta-data/tags/instance/Name', tagged), undefined);
});

test('a token is good for its interface and its time, in the process that made it', () => {
  const tokens = new Tokens();
  const token = tokens.make('eni-a', 60, 1000);
  assert.equal(tokens.secondsLeft(token, 'eni-a', 1000), 60);
  assert.equal(tokens.secondsLeft(token, 'eni-a', 60_999), 1);
  assert.equal(tokens.secondsLeft(token, 'eni-a', 61_000), 0);
  assert.equal(tokens.secondsLeft(token, 'eni-b', 1000), 0);
  assert.equal(new Tokens().secondsLeft(token, 'eni-a', 1000), 0);
  for (let at = 0; at < token.length - 1; at++) {
    const other = token[at] === 'A' ? 'B' : 'A';
    const changed = `${token.slice(0, at)}${other}${token.slice(at + 1)}`;
    assert.equal(tokens.secondsLeft(changed, 'eni-a', 1000), 0, `character ${at}`);
  }
  for (const text of ['', 'x', `${token}A`, token.slice(1), '\0'.repeat(token.length)])
    assert.equal(tokens.secondsLeft(text, 'eni-a', 1000), 0);
});
