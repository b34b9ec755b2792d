/** The map: the same places every time, lines from border to border, traffic and drops between the right nodes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  DropExample,
  DropsAnswer,
  MapEdge,
  MapNode,
  RuleView,
  TopFlow,
} from '../../../src/console/contract.ts';
import { boxOfNode, columnsOf, wordsOfNode } from '../../../src/console/page/logic/map-boxes.ts';
import { chooseNodes, choicesOf, findNodes } from '../../../src/console/page/logic/map-choice.ts';
import { MapEnds } from '../../../src/console/page/logic/map-ends.ts';
import {
  fitSight,
  lineBetween,
  panSight,
  SCALE_MIN,
  zoomSight,
} from '../../../src/console/page/logic/map-geometry.ts';
import { layOut, type LaidOutNode } from '../../../src/console/page/logic/map-layout.ts';
import { readPlaces, writePlaces } from '../../../src/console/page/logic/map-places.ts';
import { dropEdges, edgeRates, edgeWidth } from '../../../src/console/page/logic/map-traffic.ts';
import { questionOfEdge, serviceWords } from '../../../src/console/page/logic/question-words.ts';

const ANYWHERE: MapNode = {
  kind: 'block',
  id: 'any',
  label: '0.0.0.0/0',
  cidr: '0.0.0.0/0',
  isAnywhere: true,
};
const OFFICE: MapNode = {
  kind: 'prefix-list',
  id: 'office',
  label: 'pl:office',
  family: 4,
  entries: ['203.0.113.0/24'],
  entryCount: 1,
};
function interfacesNode(id: string, groups: string[], ...addresses: string[]): MapNode {
  const interfaces = addresses.map((address, i) => ({
    name: `eni-${id}-${i + 1}`,
    id: `eni-0${id}${i}`,
    addresses: [address],
  }));
  return { kind: 'interfaces', id, label: groups.join(', '), groups, interfaces, vpc: `vpc-${id}` };
}
const WEB = interfacesNode('web', ['web'], '10.0.0.11', '10.0.0.12');
const DB = interfacesNode('db', ['db'], '10.0.0.31');
const NODES = [ANYWHERE, OFFICE, WEB, DB];
function edge(
  id: string,
  from: string,
  to: string,
  services: string[],
  ...rules: string[]
): MapEdge {
  const places = rules.map((rule) => RULES.findIndex((one) => one.id === rule));
  return { id, from, to, services, rules: places, ruleCount: rules.length };
}
const RULES: readonly RuleView[] = ['r-in', 'r-ssh', 'r-out', 'r-db'].map((id) => ({
  ...{ id, text: '', direction: 'ingress' as const, description: '' },
}));
const EDGES = [
  edge('in', 'any', 'web', ['tcp 443'], 'r-in'),
  edge('office', 'office', 'web', ['tcp 22, 80-90'], 'r-ssh'),
  edge('db', 'web', 'db', ['tcp 5432'], 'r-out', 'r-db'),
  edge('out', 'web', 'any', ['everything'], 'r-out'),
];

const boxes = (count: number): LaidOutNode[] =>
  Array.from({ length: count }, (_, i) => ({ id: `n${i}`, column: i % 3, width: 160, height: 50 }));

test('the same nodes get the same places, in whatever order they come', () => {
  const edges = [
    { from: 'n0', to: 'n1' },
    { from: 'n1', to: 'n5' },
    { from: 'n2', to: 'nowhere' },
  ];
  const first = layOut(boxes(12), edges, new Map());
  const second = layOut(boxes(12).reverse(), edges, new Map());
  assert.deepEqual([...first].sort(), [...second].sort());
  assert.equal(first.size, 12);
});

test('nodes with a place keep it, and a new one finds room beside them', () => {
  const known = layOut(boxes(6), [], new Map());
  const places = layOut(boxes(7), [], known);
  for (const [id, place] of known) assert.deepEqual(places.get(id), place);
  const added = places.get('n6')!;
  for (const { x, y } of known.values()) assert.ok(Math.hypot(x - added.x, y - added.y) > 40);
});

test('places outlive a reload as text, and damaged text is no place', () => {
  const places = new Map([['a', { x: 1, y: -2 }]]);
  const older = new Map([['b', { x: 3, y: 4 }]]);
  assert.deepEqual(readPlaces(writePlaces(older, places)), new Map([...older, ...places]));
  for (const text of [undefined, '', '{', '{}', '[1,["a"],["a",1,"2"],["a",1,1e99]]'])
    assert.deepEqual(readPlaces(text), new Map());
});

test('whoever is reached from outside stands before whom only those reach', () => {
  const columns = columnsOf(NODES, EDGES);
  assert.deepEqual(Object.fromEntries(columns), { any: 0, office: 0, web: 1, db: 2 });
  const onlySentTo = columnsOf([WEB, ANYWHERE], [EDGES[3]]);
  assert.equal(onlySentTo.get('any'), 2);
});

test('a box is as wide as its words', () => {
  assert.deepEqual(wordsOfNode(WEB), {
    title: 'web',
    subtitle: '2 interfaces',
    kind: 'interfaces',
  });
  assert.equal(wordsOfNode(DB).subtitle, '10.0.0.31');
  const name = { kind: 'name', id: 'n', label: 'dns:api.example.com', dnsName: 'api.example.com' } as const; // prettier-ignore
  const strict = { ...name, label: `${name.label} (TLS name required)`, tlsName: 'required' } as const; // prettier-ignore
  assert.deepEqual(
    [name, strict].map((node) => [wordsOfNode(node).title, wordsOfNode(node).subtitle]),
    [
      ['dns:api.example.com', 'DNS name'],
      ['dns:api.example.com', 'TLS name required'],
    ],
  );
  const long = boxOfNode(interfacesNode('x', ['a-group-with-a-long-name'], '10.0.0.1'), 1);
  assert.ok(long.width > boxOfNode(DB, 1).width);
});

test('a line goes from border to border', () => {
  const box = (x: number, y: number) => ({ x, y, width: 100, height: 40 });
  const { path, middle } = lineBetween(box(0, 0), box(400, 0), 0);
  assert.equal(path, 'M54,0 Q200,0 346,0');
  assert.deepEqual(middle, { x: 200, y: 0 });
  // Both ways bend to their own left, so they don't cover each other.
  const there = lineBetween(box(0, 0), box(400, 0));
  const back = lineBetween(box(400, 0), box(0, 0));
  assert.ok(there.middle.y < 0 && back.middle.y > 0);
  const loop = box(7, 7);
  assert.match(lineBetween(loop, loop).path, /^M.* C/);
});

test('all of the map is in sight, and zooming keeps the point under the pointer', () => {
  const sight = fitSight([{ x: 1000, y: 0, width: 100, height: 40 }], { width: 800, height: 600 });
  assert.equal((1000 - sight.x) * sight.scale, 400);
  assert.equal((0 - sight.y) * sight.scale, 300);
  const at = { x: 100, y: 50 };
  const zoomed = zoomSight(sight, 2, at);
  assert.equal(zoomed.x + at.x / zoomed.scale, sight.x + at.x / sight.scale);
  assert.equal(zoomSight(sight, 1e-9, at).scale, SCALE_MIN);
  assert.deepEqual(panSight({ x: 0, y: 0, scale: 2 }, 10, -10), { x: 5, y: -5, scale: 2 });
  assert.equal(fitSight([], { width: 0, height: 0 }).scale, 1);
});

test('an address belongs to its interface, else to the narrowest block', () => {
  const ends = new MapEnds(NODES);
  assert.deepEqual(ends.nodesOfAddress('10.0.0.12'), ['web']);
  assert.deepEqual(ends.nodesOfAddress('203.0.113.9'), ['office', 'any']);
  assert.deepEqual(ends.nodesOfAddress('8.8.8.8'), ['any']);
  assert.deepEqual(ends.nodesOfAddress('fd00::1'), []);
  assert.deepEqual(ends.nodesOfAddress('nonsense'), []);
  assert.equal(ends.nodeOfInterface('eni-db-1'), 'db');
});

function flow(
  name: string,
  remoteAddress: string,
  rule: string,
  openedBy: 'instance' | 'remote',
  rate: number,
): TopFlow {
  return {
    interface: name,
    protocol: 'tcp',
    localAddress: '10.0.0.1',
    localPort: 1,
    remoteAddress,
    remotePort: 2,
    openedBy,
    state: 'established',
    idleMs: 0,
    expiresInMs: 1,
    rule: { id: rule, text: '', direction: 'ingress', description: '' },
    bytesInRate: rate,
    bytesOutRate: 0,
    packetsInRate: 1,
    packetsOutRate: 0,
  };
}

test('a flow is of the edge with its rule, its interface and its address; between two of ours it counts once', () => {
  const rates = edgeRates(
    { edges: EDGES, rules: RULES },
    [
      flow('eni-web-1', '8.8.8.8', 'r-in', 'remote', 100),
      flow('eni-web-2', '9.9.9.9', 'r-in', 'remote', 11),
      flow('eni-web-1', '10.0.0.31', 'r-out', 'instance', 500),
      flow('eni-db-1', '10.0.0.11', 'r-db', 'remote', 500),
      flow('eni-web-1', '1.1.1.1', 'r-out', 'instance', 7),
      flow('eni-web-1', '1.1.1.1', 'r-gone', 'instance', 7),
    ],
    new MapEnds(NODES),
  );
  assert.deepEqual(Object.fromEntries(rates), { in: 111, db: 500, out: 7 });
  assert.ok(edgeWidth(0) < edgeWidth(1000) && edgeWidth(1000) < edgeWidth(1e6));
});

function example(
  id: number,
  name: string,
  direction: 'ingress' | 'egress',
  remote: string,
): DropExample {
  return {
    id,
    timeMs: 0,
    interface: name,
    direction,
    verdict: 'dropped',
    opensFlow: false,
    isTracked: false,
    packet: {
      family: 4,
      protocol: 'tcp',
      localAddress: '10.0.0.31',
      localPort: 1,
      remoteAddress: remote,
      remotePort: 2,
    },
  };
}

test('drops are between the nodes of their examples; a count for several is marked', () => {
  const kind = (packets: number, ...examples: DropExample[]): DropsAnswer['drops'][number] => ({
    interface: 'eni-db-1',
    direction: 'ingress',
    reason: 'ingress-rules',
    meaning: '',
    packets,
    examples,
  });
  const drops = dropEdges(
    {
      lost: 0,
      drops: [
        kind(
          9,
          example(1, 'eni-db-1', 'ingress', '10.0.0.11'),
          example(2, 'eni-db-1', 'ingress', '10.0.0.12'),
        ),
        kind(
          5,
          example(3, 'eni-db-1', 'egress', '8.8.8.8'),
          example(4, 'eni-db-1', 'egress', 'fd00::9'),
        ),
        kind(3, {
          ...example(5, 'eni-db-1', 'ingress', ''),
          packet: undefined,
        } as unknown as DropExample),
      ],
    },
    new MapEnds(NODES),
  );
  assert.deepEqual(
    drops.map(({ from, to, packets, isShared, examples }) => [
      from,
      to,
      packets,
      isShared,
      examples.length,
    ]),
    [
      ['web', 'db', 9, false, 2],
      ['db', 'any', 5, true, 1],
      ['db', 'elsewhere', 5, true, 1],
    ],
  );
});

test('a group is shown with whom it is joined to', () => {
  const map = { generation: 1, nodes: NODES, edges: EDGES, rules: [] };
  const { nodes, edges } = chooseNodes(map, { group: 'db', vpc: '' });
  assert.deepEqual(
    nodes.map(({ id }) => id),
    ['web', 'db'],
  );
  assert.deepEqual(
    edges.map(({ id }) => id),
    ['db'],
  );
  assert.equal(chooseNodes(map, { group: '', vpc: '' }).nodes, NODES);
  assert.deepEqual(chooseNodes(map, { group: 'db', vpc: 'vpc-web' }).nodes, []);
  assert.deepEqual(choicesOf(NODES), { groups: ['db', 'web'], vpcs: ['vpc-db', 'vpc-web'] });
});

test('the filter finds nodes by names, groups and addresses', () => {
  assert.deepEqual([...findNodes(NODES, ['10.0.0.12'])], ['web']);
  assert.deepEqual([...findNodes(NODES, ['203'])], ['office']);
  assert.equal(findNodes(NODES, []).size, NODES.length);
});

test('a question about an edge can be asked', () => {
  const nodes = new Map(NODES.map((node) => [node.id, node]));
  assert.deepEqual(
    EDGES.map((one) => questionOfEdge(one, nodes)),
    [
      'internet -> eni-web-1 tcp 443',
      '203.0.113.0/24 -> eni-web-1 tcp 22',
      'eni-web-1 -> eni-db-1 tcp 5432',
      'eni-web-1 -> internet tcp 443',
    ],
  );
  assert.equal(questionOfEdge(edge('x', 'gone', 'web', []), nodes), undefined);
  assert.deepEqual(['icmp type 8', 'udp 53', 'protocol 47', 'all but tcp'].map(serviceWords), [
    'icmp echo',
    'udp 53',
    'protocol 47',
    'tcp 443',
  ]);
});
