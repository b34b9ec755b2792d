/**
 * What a host's part of the estate takes in memory: `held.js URL HOST`, with --expose-gc. It holds, joins and compiles
 * the part as a daemon does, and prints the bytes that are in use then.
 */
import { EstateFollower } from '../../../src/estate/estate-follower.ts';
import { HostPart } from '../../../src/estate/host-part.ts';
import { Joiner } from '../../../src/estate/join.ts';
import { PolicyCompiler } from '../../../src/policy/compile.ts';
import { RuleNumbers } from '../../../src/policy/rule-numbers.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { loadText } from '../../config/config-text.ts';

const [url, host] = process.argv.slice(2);
const store = await openStore(url, () => undefined);
const scope = new HostPart(host);
const follower = new EstateFollower({ store, scope, onTrouble: () => undefined });
await follower.open();
const joiner = new Joiner(follower.estate, {
  ...{ host, netnsDirectory: '/run/netns', flowLogDirectory: '/var/log' },
});
const declared = loadText('uplink: { tun: up0 }\n').config!;
const { config } = joiner.join(declared);
const compiler = new PolicyCompiler();
const policy = compiler.compile({
  model: config.model,
  ports: new Map(config.interfaces.map(({ id }, i) => [id, i + 1])),
  ruleNumbers: new RuleNumbers(),
  special: config.special,
  generation: 1,
});
// What was read is garbage after a turn.
await new Promise((resolve) => setTimeout(resolve, 1000));
gc!();
gc!();
const { heapUsed, external } = process.memoryUsage();
const members = [...(config.model.remoteMembers?.values() ?? [])];
const kept = [config, policy, joiner, compiler].length;
console.log(JSON.stringify({ bytes: heapUsed + external, members: members.reduce((sum, { size }) => sum + size, 0), kept })); // prettier-ignore
process.exit();
