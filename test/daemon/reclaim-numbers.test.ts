/** Numbers of rules that are gone are free once no flow carries them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reclaimNumbers } from '../../src/daemon/reclaim-numbers.ts';
import type { Rule, SecurityGroup } from '../../src/policy/model.ts';
import { Rig } from '../engine/rig.ts';
import { udp4 } from '../packets/build.ts';
import { model, type ModelText } from '../support/policy.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const TEXT: ModelText = {
  groups: { web: { ingress: [] }, app: { ingress: ['udp 53 from sg:web', 'udp 54 from sg:web'] } },
  interfaces: {
    web: { addresses: [WEB], groups: ['web'] },
    app: { addresses: [APP], groups: ['app'] },
  },
};

test('a rule that a flow carries keeps its number, and one that comes back meanwhile', async () => {
  const rig = new Rig(TEXT);
  assert.equal(rig.send('web', udp4(WEB, APP, { srcPort: 5000, dstPort: 53 })), 'app');
  const { ruleNumbers: numbers } = rig;
  const app = model(TEXT).groups.get('sg-app')!;
  const [carried, gone] = app.ingress.map((rule) => numbers.numberOf(rule));
  const back: Rule = { ...app.ingress[0], id: 'sgr-back' };
  const take = (ingress: SecurityGroup['ingress']): void =>
    numbers.take(new Map([[app.id, { ...app, ingress }]]));
  take([back]);
  const number = numbers.numberOf(back);
  take([]);
  const begin = (): Promise<void> => {
    numbers.beginReclaim();
    take([back]);
    return Promise.resolve();
  };
  const free = await reclaimNumbers(numbers, [rig.flows4, rig.flows6], begin, 0);
  assert.deepEqual([carried, number, gone].map((one) => free.includes(one)), [false, false, true]); // prettier-ignore
  assert.equal(numbers.ruleOf(carried)?.id, app.ingress[0].id);
  assert.equal(numbers.numberOf(back), number);
});
