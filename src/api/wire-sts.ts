/** The wire names of STS. scripts/generate-wire makes this table of @aws-sdk/client-sts. */
import type { ServiceTable } from './wire-table.ts';

// prettier-ignore
export const STS_TABLE: ServiceTable = {
  service: 'sts',
  version: '2011-06-15',
  namespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
  operations: {
    AssumeRole: 'AssumeRoleRequest AssumeRoleResponse',
    GetCallerIdentity: 'GetCallerIdentityRequest GetCallerIdentityResponse',
  },
  shapes: {
    AssumeRoleRequest: 'RoleArn:s RoleSessionName:s PolicyArns:[PolicyDescriptorType Policy:s DurationSeconds:i Tags:[Tag TransitiveTagKeys:[s ExternalId:s SerialNumber:s TokenCode:s SourceIdentity:s ProvidedContexts:[ProvidedContext MinimumSessionTokenSize:i',
    AssumeRoleResponse: 'Credentials:Credentials AssumedRoleUser:AssumedRoleUser PackedPolicySize:i SourceIdentity:s SessionTokenUtilization:i SessionTokenSize:i',
    AssumedRoleUser: 'AssumedRoleId:s Arn:s',
    Credentials: 'AccessKeyId:s SecretAccessKey:s SessionToken:s Expiration:t',
    GetCallerIdentityRequest: '',
    GetCallerIdentityResponse: 'UserId:s Account:s Arn:s',
    PolicyDescriptorType: 'arn:s',
    ProvidedContext: 'ProviderArn:s ContextAssertion:s',
    Tag: 'Key:s Value:s',
  },
};
