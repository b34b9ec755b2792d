/** Every intrinsic function in its three spellings: what it comes to, and what is wrong with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stableId } from '../../src/policy/ids.ts';
import { load } from './helpers.ts';

const IN_VPC_ID = stableId('sg', 'st', 'InVpc');

const FRAME = {
  Parameters: {
    Name: { Type: 'String', Default: 'web' },
    Port: { Type: 'Number', Default: 443 },
    Zones: { Type: 'CommaDelimitedList', Default: 'a, b,c' },
    Ports: { Type: 'List<Number>', Default: '80,443' },
  },
  Mappings: {
    Sites: {
      north: { Cidr: '192.0.2.0/24', Zones: ['n1', 'n2'] },
      south: { Cidr: '198.51.100.0/24' },
    },
  },
  Conditions: {
    Yes: { 'Fn::Equals': ['a', 'a'] },
    No: { 'Fn::Equals': ['a', 'b'] },
  },
  Resources: {
    G: {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: { GroupName: 'g-name', GroupDescription: 'd' },
    },
    InVpc: {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: { GroupDescription: 'd', VpcId: { Ref: 'Vpc' } },
    },
    Vpc: { Type: 'AWS::EC2::VPC', Properties: { CidrBlock: '10.1.0.0/16' } },
    Subnet: {
      Type: 'AWS::EC2::Subnet',
      Properties: {
        CidrBlock: { 'Fn::Select': [1, { 'Fn::Cidr': [{ 'Fn::GetAtt': 'Vpc.CidrBlock' }, 2, 8] }] },
      },
    },
    List: {
      Type: 'AWS::EC2::PrefixList',
      Properties: { AddressFamily: 'IPv4', PrefixListName: 'l', MaxEntries: 1 },
    },
  },
};

/** The short form in YAML, the full form as data, and the text it comes to. */
type Case = readonly [short: string, full: unknown, expected: string];

// prettier-ignore
const CASES: readonly Case[] = [
  // Ref: parameters, pseudo parameters, resources.
  ['!Ref Name', { Ref: 'Name' }, 'web'],
  ['!Ref Port', { Ref: 'Port' }, '443'],
  ['!Ref AWS::AccountId', { Ref: 'AWS::AccountId' }, '123456789012'],
  ['!Ref AWS::Region', { Ref: 'AWS::Region' }, 'us-east-1'],
  ['!Ref AWS::Partition', { Ref: 'AWS::Partition' }, 'aws'],
  ['!Ref AWS::URLSuffix', { Ref: 'AWS::URLSuffix' }, 'amazonaws.com'],
  ['!Ref AWS::StackName', { Ref: 'AWS::StackName' }, 'st'],
  ['!Ref AWS::StackId', { Ref: 'AWS::StackId' }, 'arn:aws:cloudformation:us-east-1:123456789012:stack/st/00000000-0000-0000-0000-000000000000'],
  ['!Join ["", !Ref AWS::NotificationARNs]', { 'Fn::Join': ['', { Ref: 'AWS::NotificationARNs' }] }, ''],
  ['!Ref G', { Ref: 'G' }, 'g-name'],
  ['!Ref InVpc', { Ref: 'InVpc' }, IN_VPC_ID],
  // GetAtt: text and list.
  ['!GetAtt InVpc.GroupId', { 'Fn::GetAtt': ['InVpc', 'GroupId'] }, IN_VPC_ID],
  ['!GetAtt [InVpc, GroupId]', { 'Fn::GetAtt': 'InVpc.GroupId' }, IN_VPC_ID],
  ['!GetAtt Vpc.CidrBlock', { 'Fn::GetAtt': ['Vpc', 'CidrBlock'] }, '10.1.0.0/16'],
  ['!GetAtt Subnet.CidrBlock', { 'Fn::GetAtt': ['Subnet', 'CidrBlock'] }, '10.1.1.0/24'],
  ['!GetAtt List.OwnerId', { 'Fn::GetAtt': ['List', 'OwnerId'] }, '123456789012'],
  ['!GetAtt List.Version', { 'Fn::GetAtt': ['List', 'Version'] }, '1'],
  // Sub: variables, attributes, literals, own names; what is no variable stays.
  ['!Sub "${Name}-${Port}"', { 'Fn::Sub': '${Name}-${Port}' }, 'web-443'],
  ['!Sub "${AWS::StackName}-sg"', { 'Fn::Sub': '${AWS::StackName}-sg' }, 'st-sg'],
  ['!Sub "${Vpc.CidrBlock}!"', { 'Fn::Sub': '${Vpc.CidrBlock}!' }, '10.1.0.0/16!'],
  ['!Sub "a${!Name}b$c${"', { 'Fn::Sub': 'a${!Name}b$c${' }, 'a${Name}b$c${'],
  ['!Sub ["${x}/${Name}", {x: !Ref Port}]', { 'Fn::Sub': ['${x}/${Name}', { x: { Ref: 'Port' } }] }, '443/web'],
  ['!Sub ["${Name}", {Name: own}]', { 'Fn::Sub': ['${Name}', { Name: 'own' }] }, 'own'],
  ['!Sub ["plain"]', { 'Fn::Sub': ['plain'] }, 'plain'],
  // Join, Select, Split.
  ['!Join ["-", [a, !Ref Name, 3]]', { 'Fn::Join': ['-', ['a', { Ref: 'Name' }, 3]] }, 'a-web-3'],
  ['!Join [",", !Ref Zones]', { 'Fn::Join': [',', { Ref: 'Zones' }] }, 'a,b,c'],
  ['!Join ["", [a, !Ref "AWS::NoValue", b]]', { 'Fn::Join': ['', ['a', { Ref: 'AWS::NoValue' }, 'b']] }, 'ab'],
  ['!Select [1, [a, b]]', { 'Fn::Select': [1, ['a', 'b']] }, 'b'],
  ['!Select ["1", !Ref Ports]', { 'Fn::Select': ['1', { Ref: 'Ports' }] }, '443'],
  ['!Select [2, !Split ["/", "a/b/c"]]', { 'Fn::Select': [2, { 'Fn::Split': ['/', 'a/b/c'] }] }, 'c'],
  // Mappings.
  ['!FindInMap [Sites, north, Cidr]', { 'Fn::FindInMap': ['Sites', 'north', 'Cidr'] }, '192.0.2.0/24'],
  ['!Join ["+", !FindInMap [Sites, north, Zones]]', { 'Fn::Join': ['+', { 'Fn::FindInMap': ['Sites', 'north', 'Zones'] }] }, 'n1+n2'],
  ['!FindInMap [Sites, !Join ["", [so, uth]], Cidr]', { 'Fn::FindInMap': ['Sites', { 'Fn::Join': ['', ['so', 'uth']] }, 'Cidr'] }, '198.51.100.0/24'],
  ['!FindInMap [Sites, east, Cidr, {DefaultValue: none}]', { 'Fn::FindInMap': ['Sites', 'east', 'Cidr', { DefaultValue: 'none' }] }, 'none'],
  // If takes one branch and does not look at the other.
  ['!If [Yes, a, !Ref Nobody]', { 'Fn::If': ['Yes', 'a', { Ref: 'Nobody' }] }, 'a'],
  ['!If [No, !Ref Nobody, b]', { 'Fn::If': ['No', { Ref: 'Nobody' }, 'b'] }, 'b'],
  // The rest.
  ['!Base64 "a b"', { 'Fn::Base64': 'a b' }, 'YSBi'],
  ['!Join [" ", !Cidr ["192.168.0.0/24", 6, 5]]', { 'Fn::Join': [' ', { 'Fn::Cidr': ['192.168.0.0/24', '6', '5'] }] }, '192.168.0.0/27 192.168.0.32/27 192.168.0.64/27 192.168.0.96/27 192.168.0.128/27 192.168.0.160/27'],
  ['!Join [" ", !Cidr ["2001:db8::/56", 2, 64]]', { 'Fn::Join': [' ', { 'Fn::Cidr': ['2001:db8::/56', 2, 64] }] }, '2001:db8::/64 2001:db8:0:1::/64'],
  ['!Select [0, !GetAZs ""]', { 'Fn::Select': [0, { 'Fn::GetAZs': '' }] }, 'us-east-1a'],
  ['!Select [1, !GetAZs {Ref: AWS::Region}]', { 'Fn::Select': [1, { 'Fn::GetAZs': { Ref: 'AWS::Region' } }] }, 'us-east-1b'],
  ['!ImportValue net-cidr', { 'Fn::ImportValue': 'net-cidr' }, '203.0.113.0/24'],
  ['!ImportValue {"Fn::Sub": net-cidr}', { 'Fn::ImportValue': { 'Fn::Sub': 'net-cidr' } }, '203.0.113.0/24'],
  ['!Length [a, b, c]', { 'Fn::Length': ['a', 'b', 'c'] }, '3'],
  ['!Length {Ref: Zones}', { 'Fn::Length': { Ref: 'Zones' } }, '3'],
  ['!ToJsonString {a: 1, b: [x, true, !Ref Name], c: "2", d: !Ref "AWS::NoValue"}', { 'Fn::ToJsonString': { a: 1, b: ['x', true, { Ref: 'Name' }], c: '2', d: { Ref: 'AWS::NoValue' } } }, '{"a":1,"b":["x",true,"web"],"c":"2"}'],
];

const supplied = new Map([['import:net-cidr', '203.0.113.0/24']]);

function withOutput(full: unknown): object {
  return { ...FRAME, Outputs: { Out: { Value: full, Export: { Name: 'out' } } } };
}

/** The frame as JSON is YAML too; only the expression is in the short form. */
function yamlWithOutput(short: string): string {
  return `${JSON.stringify({ ...FRAME, Outputs: 'OUTPUTS' }).replace('"OUTPUTS"', `{"Out": {"Value": ${short}, "Export": {"Name": "out"}}}`)}\n`;
}

for (const [short, full, expected] of CASES) {
  test(`${short} is ${expected}`, () => {
    for (const text of [
      yamlWithOutput(short),
      JSON.stringify(withOutput(full)),
      JSON.stringify(withOutput(full), undefined, '\t'),
    ]) {
      const { template, problems } = load(text, { supplied });
      assert.deepEqual(problems, []);
      assert.equal(template?.exports.get('out'), expected);
    }
  });
}

// prettier-ignore
const MISTAKES: readonly (readonly [expression: string, problem: string])[] = [
  ['!Ref Nobody', "error unresolved-reference: 'Nobody' is neither a parameter nor a resource of this template"],
  ['!Ref AWS::Nothing', "error unresolved-reference: 'AWS::Nothing' is neither a parameter nor a resource of this template"],
  ['!Ref [a]', 'error bad-function: Ref takes a name'],
  ['!GetAtt G', 'error bad-function: Fn::GetAtt takes a resource and an attribute'],
  ['!GetAtt Nobody.Id', "error unresolved-reference: 'Nobody' is neither a parameter nor a resource of this template"],
  ['!GetAtt G.Color', "error unknown-attribute: AWS::EC2::SecurityGroup has no attribute 'Color'"],
  ['!GetAtt List.Color', "error unknown-attribute: AWS::EC2::PrefixList has no attribute 'Color'"],
  ['!Sub "${Nobody}"', "error unresolved-reference: 'Nobody' is neither a parameter nor a resource of this template"],
  ['!Sub "${a b}"', 'error bad-function: ${a b} is no name'],
  ['!Sub "${}"', 'error bad-function: ${} is no name'],
  ['!Sub {a: b}', 'error bad-function: Fn::Sub takes a text, or a list of a text and a mapping'],
  ['!Sub "${Zones}"', 'error bad-function: the value of ${Zones} of Fn::Sub must be text, not a list'],
  ['!Join [a]', 'error bad-function: Fn::Join has the wrong arguments'],
  ['!Join ["", text]', "error bad-function: Fn::Join needs a list, not 'text'"],
  ['!Join ["", [[a]]]', 'error bad-function: every item of Fn::Join must be text, not a list'],
  ['!Select [2, [a, b]]', 'error bad-function: Fn::Select cannot select nonexistent value at index 2'],
  ['!Select [-1, [a, b]]', 'error bad-function: Fn::Select cannot select nonexistent value at index -1'],
  ['!Select [x, [a, b]]', 'error bad-function: Fn::Select cannot select nonexistent value at index x'],
  ['!Split ["", a]', 'error bad-function: the delimiter of Fn::Split must not be empty'],
  ['!FindInMap [Sites, east, Cidr]', 'error unknown-mapping: unable to get mapping for Sites::east::Cidr'],
  ['!If [Maybe, a, b]', "error unknown-condition: the template has no condition 'Maybe'"],
  ['!If [Yes, a]', 'error bad-function: Fn::If has the wrong arguments'],
  ['!Equals [a, a]', 'error bad-function: Fn::Equals has no value outside a condition'],
  ['!Cidr ["10.0.0.0/24", 300, 4]', "error bad-function: Fn::Cidr: the count '300' is not a number from 1 to 256"],
  ['!Cidr ["10.0.0.0/24", 5, 7]', 'error bad-function: Fn::Cidr: 10.0.0.0/24 holds 2 blocks of /25, not 5'],
  ['!Cidr ["10.0.0.0/24", 1, 9]', "error bad-function: Fn::Cidr: cidrBits '9' does not fit into 10.0.0.0/24"],
  ['!Cidr [home, 1, 9]', "error bad-function: Fn::Cidr: 'home' is not a CIDR block"],
  ['!Base64 [a]', 'error bad-function: the argument of Fn::Base64 must be text, not a list'],
  ['!Length text', "error bad-function: Fn::Length needs a list, not 'text'"],
  ['!ToJsonString text', "error bad-function: Fn::ToJsonString takes a list or a mapping, not 'text'"],
  ['!Colour red', 'error unknown-function: unknown function Fn::Colour'],
  ['{"Fn::Colour": red}', 'error unknown-function: unknown function Fn::Colour'],
  ['{"Fn::Sub": a, b: c}', 'error bad-function: Fn::Sub stands next to other keys'],
  ['~', 'error null-value: there is no value'],
];

for (const [expression, problem] of MISTAKES) {
  test(`${expression}: ${problem}`, () => {
    const text = `${JSON.stringify({ ...FRAME, Outputs: undefined }).slice(0, -1)},\n"Outputs": {"Out": {"Value":\n${expression}, "Export": {"Name": "out"}}}}\n`;
    const { template, problems } = load(text);
    // The column is that of the part that is wrong; problems.test.ts has those.
    assert.deepEqual(
      problems.map((line) => line.replace(/^(\d+):\d+/, '$1')),
      [`3 ${problem}`],
    );
    assert.equal(template?.exports.size, 0);
  });
}
