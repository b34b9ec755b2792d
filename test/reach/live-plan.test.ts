/** What can be tried with real packets, and the reason for everything that can't. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Judge } from '../../src/reach/judge.ts';
import { planLive } from '../../src/reach/live-plan.ts';
import { checksOf } from '../../src/reach/suite.ts';
import { CONFIG, Files } from './files.ts';

const files = new Files();

function plan(expectation: string, config = CONFIG): { tries: unknown[]; skips: string[] } {
  const suite = files.suite(`expect: [{ ${expectation} }]`, config);
  const cases = checksOf(suite).flatMap((check) => check.cases);
  const { attempts, skips } = planLive(suite.config, cases, new Judge(suite.config));
  return {
    tries: attempts.map(({ from, to, probe, offer }) => [from, to, probe, offer]),
    skips: skips.map(({ why }) => why),
  };
}

describe('what is tried', () => {
  test('TCP and UDP need a server at the other end', () => {
    const probe = { kind: 'udp', family: 6, source: 'fd00::1', address: 'fd00::2', port: 53 };
    const offer = { kind: 'udp', family: 6, address: 'fd00::2', port: 53 };
    assert.deepEqual(plan('from: web-1, to: web-2, udp: 53, family: 6, is: denied'), {
      tries: [['n1', 'n2', probe, offer]],
      skips: [],
    });
  });

  test("echo needs none; the uplink's own address stands for anyone's", () => {
    const probe = { kind: 'ping', family: 4, source: '10.99.0.1', address: '10.0.0.1', port: 0 };
    assert.deepEqual(plan('from: internet, to: web-1, icmp: echo, is: denied'), {
      tries: [['out', 'n1', probe, undefined]],
      skips: [],
    });
  });
});

describe('what is not tried, and why', () => {
  const uplinkOf = (text: string): string => CONFIG.replace(/^uplink: .*$/m, text);
  const deviceOf = (text: string): string => CONFIG.replace('{ name: w1, netns: n1 }', text);
  const cases: readonly (readonly [expectation: string, why: string, config?: string])[] = [
    ['from: web-1, to: app, protocol: 47, is: denied', 'protocol 47: only TCP, UDP and ICMP echo can be sent for real'],
    ['from: web-1, to: app, icmp: 3/4, is: denied', 'icmp 3/4: only echo can be sent for real'],
    ['from: web-1, to: app, icmp: 8/1, is: allowed', 'icmp 8/1: only echo can be sent for real'],
    ['from: web-1, to: app, tcp: 0, is: denied', 'nobody can listen on port 0'],
    ['from: 8.8.8.8, to: app, tcp: 1, is: denied', "the uplink's namespace does not have the address 8.8.8.8"],
    ['from: "outside:10.0.0.1", to: app, tcp: 1, is: denied', "the uplink's namespace does not have the address 10.0.0.1"],
    ['from: internet, to: app, tcp: 1, is: denied', "the uplink's namespace has no IPv4 address", uplinkOf("uplink: { tun: up0, netns: out, addresses: ['fd00:99::1/64'] }")],
    ['from: internet, to: app, tcp: 1, is: denied', 'there is no uplink', uplinkOf('')],
    ['from: internet, to: app, tcp: 1, is: denied', 'the uplink has no namespace of its own', uplinkOf('uplink: { tun: up0, addresses: [10.99.0.1/24] }')],
    ['from: internet, to: app, tcp: 1, is: denied', 'the uplink is configured by someone else (configure: false)', uplinkOf('uplink: { tun: up0, netns: out, addresses: [10.99.0.1/24], configure: false }')],
    ['from: web-1, to: app, tcp: 1, is: denied', 'web-1 has no namespace of its own', deviceOf('{ name: w1 }')],
    ['from: web-1, to: app, tcp: 1, is: denied', 'web-1 is in the namespace /run/netns/x, which the lab does not make', deviceOf('{ name: w1, netns: /run/netns/x }')],
    ['from: web-1, to: app, tcp: 1, is: denied', 'the device of web-1 is configured by someone else (configure: false)', deviceOf('{ kind: tap, name: w1, netns: n1, configure: false }')],
    ['from: web-1, to: app, tcp: 1, is: denied', 'web-1 is not alone in the namespace n2', deviceOf('{ name: w1, netns: n2 }')],
    [
      // A rule names the range that the uplink's own address is in: it is not just anyone.
      'from: internet, to: web-1, tcp: 22, family: 4, is: denied',
      "the uplink's own address 10.99.0.1 is allowed by the rules, another stranger denied",
      CONFIG.replace('from: 203.0.113.0/24', 'from: 10.0.0.0/8'),
    ],
  ]; // prettier-ignore
  for (const [expectation, why, config] of cases) {
    test(why, () => assert.deepEqual(plan(expectation, config), { tries: [], skips: [why] }));
  }
});
