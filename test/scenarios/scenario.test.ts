/** Scenario files: what is wrong in one is said with its place, and a scenario that does not hold fails. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readClauses } from './clauses.ts';
import { playScenario } from './player.ts';
import { parseScenarios } from './scenario.ts';

const STAGE = `instance web 10.0.0.11: in tcp 22 from 198.51.100.0/24
host out 198.51.100.7
`;

function play(text: string): void {
  for (const scenario of parseScenarios('made-up', STAGE + text)) playScenario('made-up', scenario);
}

/** The whole message of what playing it throws. */
function complaintAbout(text: string): string {
  try {
    play(text);
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing was wrong';
}

const FORM = 'TIME SENDER [as SOURCE] > RECEIVER PACKET passes|drops REASON [(STATE, …)]';
const SETTINGS =
  'midstream, windows, flows, half-open, uplink, platform, uplink-address, class-e, excuse, clock-ms';
const OPTIONS = 'unchecked, always-tracked, tcp-idle, udp-idle, udp-stream-idle, flows';

/** Line 3 is the first of the text. */
const MISTAKES: readonly (readonly [what: string, text: string, complaint: string])[] = [
  [
    'a packet outside of a scenario',
    '0 out > web udp 1>2 passes',
    "3: '0 out > web udp 1>2 passes' outside of a scenario is none of instance, host, prefix-list, set",
  ],
  ['a scenario without a name', 'scenario', '3: scenario NAME'],
  ['a scenario without packets', 'scenario a', '3: a scenario without packets'],
  [
    'one without packets in front of another',
    'scenario a\nscenario b',
    '4: the scenario before this one, in line 3, has no packets',
  ],
  ['a name twice', 'scenario a\n0 out > web udp 1>2 passes\nscenario a', '5: that name is taken'],
  [
    'an instance without an address',
    'instance db: in all',
    '3: instance NAME ADDRESS… [OPTION…]: RULE; RULE',
  ],
  ['a host without an address', 'host db', '3: host NAME ADDRESS…'],
  ['a setting without a value', 'set uplink', '3: set SETTING VALUE…'],
  ['no verdict', 'scenario a\n0 out > web udp 1>2', `4: ${FORM}`],
  ['no reason', 'scenario a\n0 out > web udp 1>2 drops', `4: ${FORM}`],
  ['no packet', 'scenario a\n0 out > web passes', `4: ${FORM}`],
  ['empty parentheses', 'scenario a\n0 out > web udp 1>2 passes ()', `4: ${FORM}`],
  [
    'no time',
    'scenario a\nsoon out > web udp 1>2 passes',
    "4: 'soon' is no time, and no word of a setup",
  ],
  [
    'time that goes back',
    'scenario a\n1 out > web ping drops ingress-rules\n0 out > web ping passes',
    '5: time goes back from 1000 ms to 0 ms',
  ],
  [
    'setting up behind a packet',
    'scenario a\n0 out > web udp 1>2 drops ingress-rules\nset flows 3',
    "5: 'set' comes before the first packet of a scenario",
  ],
  [
    'a state that is none in form',
    'scenario a\n0 out > web udp 1>2 passes (web 3 flaws)',
    "4: 'web 3 flaws' is not STATE, GATE STATE or GATE N flows",
  ],
  ['a change that is none', 'scenario a\n0 change web in all', '4: TIME change NAME: RULE; RULE'],
];

/** What is only found by playing: the lines have a good form. */
const NONSENSE: readonly (readonly [what: string, text: string, complaint: string])[] = [
  [
    'an unknown setting',
    'set flaws 3\nscenario a\n0 out > web ping passes',
    `3: 'set flaws' is none of ${SETTINGS}`,
  ],
  [
    'a value that a setting has not',
    'set midstream drpo\nscenario a\n0 out > web ping passes',
    "3: 'set midstream' can't be 'drpo'",
  ],
  [
    'an unknown option',
    'instance db 10.0.0.13 unchekced: in all\nscenario a\n0 out > web ping passes',
    `3: 'unchekced' is none of ${OPTIONS}`,
  ],
  [
    'a time-out beyond what AWS lets one set',
    'instance db 10.0.0.13 udp-idle=61: in all\nscenario a\n0 out > web ping passes',
    "3: 'udp-idle' takes a number from 30 to 60, not '61'",
  ],
  [
    'an unknown rule',
    'instance db 10.0.0.13: inn all\nscenario a\n0 out > web ping passes',
    "3: 'inn all' is no rule: in …, out … or revocation …",
  ],
  [
    'a rule of an unknown protocol',
    'instance db 10.0.0.13: in tpc 80 from 10.0.0.0/8\nscenario a\n0 out > web ping passes',
    "3: 'tpc 80 from 10.0.0.0/8' is no rule: 'tcp 80-90 from CIDR', 'all', 'nothing', …",
  ],
  [
    'a rule for a group that is none',
    'instance db 10.0.0.13: in tcp 80 from sg:app\nscenario a\n0 out > web ping passes',
    '3: there is no instance for sg:app',
  ],
  [
    'a rule for a list that is none',
    'instance db 10.0.0.13: in tcp 80 from pl:app\nscenario a\n0 out > web ping passes',
    '3: there is no prefix list for pl:app',
  ],
  [
    'an unknown revocation',
    'instance db 10.0.0.13: revocation never\nscenario a\n0 out > web ping passes',
    "3: revocation is aws, recheck or cut, not 'never'",
  ],
  ['a change of nobody', 'scenario a\n0 change db: in all', '4: there is no instance db'],
  [
    'a change to an unknown rule',
    'scenario a\n0 change web: inn all',
    "4: 'inn all' is no rule: in …, out … or revocation …",
  ],
  ['an unknown sender', 'scenario a\n0 me > web udp 1>2 passes', '4: me has no IPv4 address'],
  [
    'no address of the family',
    'scenario a\n0 out > web udp6 1>2 passes',
    '4: out has no IPv6 address',
  ],
  [
    'an unknown packet',
    'scenario a\n0 out > web tpc 1>2 S passes',
    "4: 'tpc' is no packet: tcp, udp, ping, pong, icmp or proto, with 6 for IPv6; or raw, again",
  ],
  [
    'an unknown flag',
    'scenario a\n0 out > web tcp 1>2 SX passes',
    "4: 'X' is not a TCP flag, FSRPAUEC are",
  ],
  [
    'an unknown word',
    'scenario a\n0 out > web udp 1>2 length 3 passes',
    "4: 'length 3' means nothing here",
  ],
  [
    'a word without its number',
    'scenario a\n0 out > web udp 1>2 len x passes',
    "4: 'len' takes a number, not 'x'",
  ],
  ['no ports', 'scenario a\n0 out > web udp 53 passes', "4: '53' is not SOURCE>DESTINATION port"],
  [
    'an unknown extension header',
    'scenario a\n0 out > web udp 1>2 via hip passes',
    "4: 'hip' is none of hop, dest, routing0, routing2, ah, atomic, overlong",
  ],
  [
    'a range that runs backwards',
    'scenario a\n0 out > web udp 9..2>2 passes',
    "4: '9..2' is no range",
  ],
  ['two ranges', 'scenario a\n0 out > web udp 1..2>2..3 passes', '4: one range a line is enough'],
  ['nothing to repeat', 'scenario a\n0 out > web again passes', '4: out has sent nothing yet'],
  [
    'an unknown reason',
    'scenario a\n0 out > web udp 1>2 drops ingres-rules',
    "4: 'ingres-rules' is no drop reason",
  ],
  [
    'an unknown state',
    'scenario a\n0 out > web tcp 1>22 S passes (syn_sent)',
    "4: 'syn_sent' is no state",
  ],
  [
    'a gate that is none',
    'scenario a\n0 out > web tcp 1>22 S passes (out syn-sent)',
    '4: there is no gate at out',
  ],
  [
    'a state of what has no flow',
    'scenario a\n0 out > web icmp 9/0 drops ingress-rules (web none)',
    '4: such a packet has no flow there',
  ],
];

describe('refused, with file and line:', () => {
  for (const [what, text, complaint] of [...MISTAKES, ...NONSENSE])
    test(what, () => {
      assert.equal(complaintAbout(text), `made-up:${complaint}`);
    });
});

/** Each with what came and what was expected. */
const DIFFERENCES: readonly (readonly [what: string, line: string, complaint: string])[] = [
  [
    'a verdict',
    '0 out > web tcp 1>23 S passes',
    'out > web tcp 1>23 S: drops ingress-rules, expected: passes to web',
  ],
  [
    'a reason',
    '0 out > web tcp 1>23 S drops egress-rules',
    'out > web tcp 1>23 S: drops ingress-rules, expected: drops egress-rules',
  ],
  [
    'a drop',
    '0 out > web tcp 1>22 S drops ingress-rules',
    'out > web tcp 1>22 S: passes to web, expected: drops ingress-rules',
  ],
  [
    'where it comes out',
    '0 out > 10.0.0.11 tcp 1>22 S passes',
    'out > 10.0.0.11 tcp 1>22 S: passes to web, expected: passes to uplink',
  ],
  [
    'a state',
    '0 out > web tcp 1>22 S passes (established)',
    'out > web tcp 1>22 S: at web the flow is syn-sent, expected: established',
  ],
  [
    'a count',
    '0 out > web tcp 1>22 S passes (web 2 flows)',
    'out > web tcp 1>22 S: web has 1 flows, expected: 2',
  ],
  [
    'a change that was not mentioned',
    '0 out > web tcp 1>22 S passes',
    'out > web tcp 1>22 S: at web the flow went from none to syn-sent, expected: no change',
  ],
  [
    'a packet in the middle of a range',
    '0 out > web tcp 1>21..23 S drops ingress-rules',
    'out > web tcp 1>21..23 S (with 22): passes to web, expected: drops ingress-rules',
  ],
];

describe('a scenario fails by', () => {
  for (const [what, line, complaint] of DIFFERENCES)
    test(what, () => {
      assert.equal(complaintAbout(`scenario a\n${line}`), `made-up:4: ${complaint}`);
    });

  test('a change in time that was not mentioned', () => {
    assert.equal(
      complaintAbout(`scenario a
        0       out > web  tcp 1>22 S   passes (syn-sent)
        60.001  web > out  tcp 22>1 A   passes`),
      'made-up:5: web > out tcp 22>1 A: at web the flow went from syn-sent to established, expected: no change',
    );
  });
});

describe('a scenario that holds', () => {
  test('passes; comments and blank lines are nothing', () => {
    play('scenario a # really\n\n# and\n0 out > web tcp 1>22 S passes (web syn-sent, web 1 flow)');
  });

  test('takes what stands in front of all scenarios, and its own in the place of it', () => {
    play(`scenario a
      0 out > web tcp 1>22 S passes (syn-sent)
      scenario b
      instance web 10.0.0.11: in tcp 23 from 198.51.100.0/24
      0 out > web tcp 1>22 S drops ingress-rules
      scenario c
      0 out > web tcp 1>22 S passes (syn-sent)`);
  });

  test('knows times from the start and from the line before', () => {
    const [{ steps }] = parseScenarios(
      'made-up',
      `scenario a
      0.5 out > web ping passes
      +2m out > web ping passes
      1h  change web: in all
      +1d out > web ping passes`,
    );
    assert.deepEqual(
      steps.map(({ atMs }) => atMs),
      [500, 120_500, 3_600_000, 90_000_000],
    );
  });

  test('sends a packet for each number of a range', () => {
    play(`scenario a
      0 out > web tcp 1..9>22 S passes (syn-sent, web 9 flows)
      0 out > web tcp 100..200:50>22 S passes (syn-sent, web 12 flows)
      0 out as 198.51.100.10..12 > web tcp 1>22 S passes (syn-sent, web 15 flows)`);
  });

  test('numbers segments by itself, and a number that is given moves nothing on', () => {
    play(`scenario a
      0 out > web tcp 1>22 S                   passes (syn-sent)
      0 web > out tcp 22>1 SA                  passes (syn-received)
      0 out > web tcp 1>22 PA len 7            passes (established)
      0 web > out tcp 22>1 A seq 9001 ack 1008 passes
      0 web > out tcp 22>1 A seq 9001 ack 1009 drops tcp-window`);
  });

  test('goes on behind what passed, not behind what was dropped', () => {
    play(`scenario a
      set midstream drop
      0 out > web tcp 1>22 S                    passes (syn-sent)
      0 out > web tcp 1>22 PA len 500           drops tcp-state
      0 web > out tcp 22>1 SA                   passes (syn-received)
      0 out > web tcp 1>22 PA len 7             passes (established)
      0 web > out tcp 22>1 A seq 9001 ack 1009  drops tcp-window`);
  });
});

describe('the list of clauses', () => {
  test('is read by section, clause and scenario, with lines that go on', () => {
    assert.deepEqual(
      readClauses(`# a
- not this
## Which scenario shows what
text
### 1 TCP
- SYN
  - tcp: a
  - tcp: b that
    goes on
- FIN
## Other
- nor this
`),
      [
        { section: '1 TCP', text: 'SYN', scenarios: ['tcp: a', 'tcp: b that goes on'] },
        { section: '1 TCP', text: 'FIN', scenarios: [] },
      ],
    );
  });
});
