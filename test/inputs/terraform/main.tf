# What the stored plan was made of, and what the test plans anew where Terraform and its provider are installed.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "x"
  secret_key                  = "x"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
locals {
  tiers = { web = 443, app = 8080 }
}
resource "aws_vpc" "main" {
  cidr_block = "10.30.0.0/16"
}
resource "aws_subnet" "main" {
  count      = 2
  vpc_id     = aws_vpc.main.id
  cidr_block = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
}
module "tiers" {
  source = "./modules/sg"
  vpc_id = aws_vpc.main.id
  tiers  = local.tiers
}
resource "aws_security_group" "db" {
  name   = "db"
  vpc_id = aws_vpc.main.id
  ingress {
    protocol        = "tcp"
    from_port       = 5432
    to_port         = 5432
    security_groups = [module.tiers.ids["app"]]
    self            = true
  }
  ingress {
    protocol        = "tcp"
    from_port       = 22
    to_port         = 22
    cidr_blocks     = ["10.0.0.0/8"]
    prefix_list_ids = [aws_ec2_managed_prefix_list.offices.id]
  }
}
resource "aws_ec2_managed_prefix_list" "offices" {
  name           = "offices"
  address_family = "IPv4"
  max_entries    = 5
  entry {
    cidr = "192.0.2.0/24"
  }
}
resource "aws_ec2_managed_prefix_list_entry" "more" {
  prefix_list_id = aws_ec2_managed_prefix_list.offices.id
  cidr           = "198.51.100.0/24"
}
resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id = module.tiers.ids["web"]
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_vpc_security_group_egress_rule" "all" {
  for_each          = local.tiers
  security_group_id = module.tiers.ids[each.key]
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_security_group_rule" "app_from_web" {
  type                     = "ingress"
  security_group_id        = module.tiers.ids["app"]
  source_security_group_id = module.tiers.ids["web"]
  protocol                 = "tcp"
  from_port                = 8080
  to_port                  = 8080
}
resource "aws_instance" "app" {
  count                  = 2
  ami                    = "ami-12345678"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.main[count.index].id
  vpc_security_group_ids = [module.tiers.ids["app"]]
}
resource "aws_network_interface" "db" {
  subnet_id       = aws_subnet.main[0].id
  private_ips     = ["10.30.0.20"]
  security_groups = [aws_security_group.db.id]
}
resource "aws_network_interface" "bare" {
  subnet_id = aws_subnet.main[1].id
}
resource "aws_network_interface_sg_attachment" "bare" {
  security_group_id    = module.tiers.ids["web"]
  network_interface_id = aws_network_interface.bare.id
}
resource "aws_default_security_group" "main" {
  vpc_id = aws_vpc.main.id
}
resource "aws_network_acl" "main" {
  vpc_id     = aws_vpc.main.id
  subnet_ids = [aws_subnet.main[0].id]
  ingress {
    protocol   = "-1"
    rule_no    = 100
    action     = "allow"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
  egress {
    protocol   = "-1"
    rule_no    = 100
    action     = "allow"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
}
resource "aws_launch_template" "lt" {
  name                   = "launch"
  image_id               = "ami-12345678"
  vpc_security_group_ids = [module.tiers.any]
}
resource "aws_instance" "lt" {
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.main[0].id
  launch_template {
    id = aws_launch_template.lt.id
  }
}
module "ambiguous" {
  source = "./modules/net"
  group  = module.tiers.any
  subnet = aws_subnet.main[0].id
}

# How links are written: a splat, several, for_each over values, a local, modules with for_each.
resource "aws_security_group" "a" {
  count = 2
  name  = "a${count.index}"
}

resource "aws_security_group" "b" {
  name = "bbb"
}

locals {
  both = [aws_security_group.b.id]
}

resource "aws_network_interface" "splat" {
  subnet_id       = aws_subnet.main[1].id
  security_groups = concat([aws_security_group.a[0].id], aws_security_group.a[*].id)
}

resource "aws_network_interface" "several" {
  subnet_id       = aws_subnet.main[1].id
  security_groups = [aws_security_group.a[0].id, aws_security_group.b.id, aws_security_group.a[1].id]
}

resource "aws_network_interface" "value" {
  for_each        = { q = aws_security_group.b.id }
  subnet_id       = aws_subnet.main[1].id
  security_groups = [each.value]
}

resource "aws_network_interface" "local" {
  subnet_id       = aws_subnet.main[1].id
  security_groups = local.both
}

module "many" {
  for_each = toset(["k1", "k2"])
  source   = "./modules/sg"
  vpc_id   = aws_vpc.main.id
  tiers    = { only = 1 }
}

resource "aws_network_interface" "of_module" {
  for_each        = toset(["k1", "k2"])
  subnet_id       = aws_subnet.main[1].id
  security_groups = [module.many[each.key].ids["only"]]
}

resource "aws_instance" "given" {
  ami           = "ami-12345678"
  instance_type = "t3.micro"
  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.of_module["k1"].id
  }
}

resource "aws_lb" "front" {
  name            = "front"
  subnets         = aws_subnet.main[*].id
  security_groups = [module.tiers.ids["web"]]
}
