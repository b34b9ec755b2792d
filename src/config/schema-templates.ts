/** This file has the part of the configuration's schema for CloudFormation templates. */
import { TEMPLATE_VPC } from './schema-vpcs.ts';

const TEMPLATE_VALUE = {
  type: ['string', 'number', 'boolean', 'array'],
  items: { type: ['string', 'number', 'boolean'] },
};

/** A list of templates: file names, or mappings. */
export const TEMPLATES: object = {
  type: 'array',
  items: {
    type: ['string', 'object'],
    minLength: 1,
    additionalProperties: false,
    required: ['file'],
    properties: {
      file: {
        type: 'string',
        minLength: 1,
        title: 'File',
        description:
          'Path of a template, or of a cloud assembly (cdk.out); a relative one counts from the directory of this file.',
      },
      stackName: {
        type: 'string',
        title: 'Stack name',
        description: 'The name of the stack; the file name without its extension if absent.',
      },
      region: {
        type: 'string',
        title: 'Region',
        description: 'Where the stack is made: AWS::Region, and the zones of Fn::GetAZs.',
        default: 'us-east-1',
      },
      accountId: {
        type: ['string', 'number'],
        title: 'Account',
        description: 'The account the stack is made in: AWS::AccountId. Twelve digits.',
        default: '123456789012',
      },
      partition: {
        type: 'string',
        title: 'Partition',
        description: "AWS::Partition, and with it AWS::URLSuffix; the region's if absent.",
      },
      vpc: TEMPLATE_VPC,
      parameters: {
        type: 'object',
        title: 'Parameters',
        description:
          'Values for the parameters of the template; they go before those of parametersFile, and those before the defaults.',
        additionalProperties: TEMPLATE_VALUE,
      },
      parametersFile: {
        type: 'string',
        minLength: 1,
        title: 'Parameters file',
        description:
          'Path of a CloudFormation parameters file: a list of ParameterKey and ParameterValue, a mapping with Parameters, or lines Key=Value.',
      },
      supplied: {
        type: 'object',
        title: 'Supplied values',
        description:
          'Values that only AWS knows, by the key that the warning about the value names.',
        additionalProperties: TEMPLATE_VALUE,
        examples: [
          {
            'ssm:/network/office': '198.51.100.0/24',
            'import:shared-vpc': 'vpc-1',
            'getatt:Lookup.Cidr': '10.0.0.0/8',
          },
        ],
      },
    },
  },
  title: 'CloudFormation templates',
  description:
    'Templates whose security groups and prefix lists are used beside the ones of this file.',
  examples: [
    ['web-stack.yaml', { file: 'other.yaml', stackName: 'other', parameters: { Port: 443 } }],
  ],
};
