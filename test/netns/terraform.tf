# Everything that test/netns/terraform.test.ts applies: groups in each of the ways that Terraform has for them, prefix
# lists, a VPC with IPv6, and two interfaces that their tags attach to namespaces.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region                  = "us-east-1"
  skip_metadata_api_check = true
  max_retries             = 2
  default_tags {
    tags = { owner = "terraform" }
  }
}

variable "client_netns" { type = string }
variable "web_netns" { type = string }
variable "open_port" { type = number }
variable "offices" { type = list(string) }
variable "description" { type = string }

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

resource "aws_vpc" "main" {
  cidr_block                       = "10.20.0.0/16"
  assign_generated_ipv6_cidr_block = true
  tags                             = { Name = "main" }
}

resource "aws_default_security_group" "main" {
  vpc_id = aws_vpc.main.id
  ingress {
    protocol    = "icmp"
    from_port   = 8
    to_port     = 0
    cidr_blocks = ["10.20.0.0/16"]
  }
}

resource "aws_subnet" "main" {
  vpc_id                          = aws_vpc.main.id
  availability_zone               = "us-east-1b"
  cidr_block                      = cidrsubnet(aws_vpc.main.cidr_block, 8, 1)
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, 1)
  assign_ipv6_address_on_creation = true
  tags                            = { Name = "main" }
}

resource "aws_ec2_managed_prefix_list" "offices" {
  name           = "offices"
  address_family = "IPv4"
  max_entries    = 5
  dynamic "entry" {
    for_each = var.offices
    content {
      cidr        = entry.value
      description = "office ${entry.key}"
    }
  }
}

resource "aws_ec2_managed_prefix_list" "apart" {
  name           = "apart"
  address_family = "IPv6"
  max_entries    = 2
}

resource "aws_ec2_managed_prefix_list_entry" "apart" {
  prefix_list_id = aws_ec2_managed_prefix_list.apart.id
  cidr           = "2001:db8::/32"
}

# Rules inline.
resource "aws_security_group" "web" {
  name        = "web"
  description = "web servers"
  vpc_id      = aws_vpc.main.id
  ingress {
    description     = var.description
    protocol        = "tcp"
    from_port       = var.open_port
    to_port         = var.open_port
    security_groups = [aws_security_group.client.id]
  }
  ingress {
    protocol        = "tcp"
    from_port       = 443
    to_port         = 443
    prefix_list_ids = [aws_ec2_managed_prefix_list.offices.id]
  }
  egress {
    protocol         = "-1"
    from_port        = 0
    to_port          = 0
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

# Rules apart.
resource "aws_security_group" "client" {
  name_prefix = "client-"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_egress_rule" "client" {
  security_group_id = aws_security_group.client.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "client6" {
  security_group_id = aws_security_group.client.id
  ip_protocol       = "-1"
  cidr_ipv6         = "::/0"
}

resource "aws_vpc_security_group_ingress_rule" "client" {
  security_group_id = aws_security_group.client.id
  description       = var.description
  ip_protocol       = "tcp"
  from_port         = var.open_port
  to_port           = var.open_port
  prefix_list_id    = aws_ec2_managed_prefix_list.apart.id
  tags              = { Name = "from elsewhere" }
}

# Two groups that name each other, and themselves.
resource "aws_security_group" "a" {
  name   = "a"
  vpc_id = data.aws_vpc.default.id
}

resource "aws_security_group" "b" {
  name   = "b"
  vpc_id = data.aws_vpc.default.id
}

resource "aws_security_group_rule" "a_from_b" {
  type                     = "ingress"
  security_group_id        = aws_security_group.a.id
  protocol                 = "udp"
  from_port                = 53
  to_port                  = 53
  source_security_group_id = aws_security_group.b.id
  description              = var.description
}

resource "aws_security_group_rule" "b_from_a" {
  type                     = "ingress"
  security_group_id        = aws_security_group.b.id
  protocol                 = "tcp"
  from_port                = 1024
  to_port                  = 65535
  source_security_group_id = aws_security_group.a.id
}

resource "aws_security_group_rule" "a_self" {
  type              = "ingress"
  security_group_id = aws_security_group.a.id
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  self              = true
}

resource "aws_network_interface" "client" {
  subnet_id       = aws_subnet.main.id
  private_ips     = ["10.20.1.10"]
  security_groups = [aws_security_group.client.id]
  tags = {
    Name              = "client"
    "secgroupd:netns" = var.client_netns
  }
}

resource "aws_network_interface" "web" {
  subnet_id          = aws_subnet.main.id
  private_ips        = ["10.20.1.20"]
  ipv6_address_count = 1
  security_groups    = [aws_security_group.web.id]
  description        = var.description
  source_dest_check  = false
  tags = {
    Name               = "web"
    "secgroupd:netns"  = var.web_netns
    "secgroupd:device" = "eth5"
    "secgroupd:mtu"    = "1400"
  }
}

output "web_ipv6" {
  value = one(aws_network_interface.web.ipv6_addresses)
}
