/**
 * Probes are packets that nobody sends: a packet loop says how its rules judge them, by the very policy that it judges
 * packets by. No flow, no counter and no device is touched.
 */
import { hasInterface } from '../engine/revocation.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost, NO_RULE, type Matcher } from '../policy/match.ts';

/** Words of a probe: what is asked, port of the interface, family, protocol, rule port, and the address. */
export const PROBE_WORDS = 9;

/** Which rule (plus 1) of the port's gate admits a packet from or to the address; NO_RULE: it would be dropped. */
export const PROBE_INGRESS = 0;
export const PROBE_EGRESS = 1;
/** Which port has the address. */
export const PROBE_HOST = 2;

/** @returns the answer to each probe */
export function judgeProbes(
  policy: CompiledPolicy,
  matcher: Matcher,
  probes: Int32Array,
): Int32Array {
  const answers = new Int32Array(probes.length / PROBE_WORDS);
  for (let i = 0; i < answers.length; i++) {
    const [what, port, family, protocol, rulePort, a0, a1, a2, a3] = probes.subarray(
      i * PROBE_WORDS,
      (i + 1) * PROBE_WORDS,
    );
    if (what === PROBE_HOST)
      answers[i] = lookUpHost(policy.hosts4, policy.hosts6, family, a0, a1, a2, a3);
    else if (!hasInterface(policy, port)) answers[i] = NO_RULE;
    else {
      const gate = 2 * policy.profiles[port] + what;
      answers[i] = matcher.match(gate, family, protocol, rulePort, a0, a1, a2, a3);
    }
  }
  return answers;
}
