/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: coturn
-- ------------------------------------------------------
/*!40101 SET NAMES utf8mb4 */;

LOCK TABLES `denied_peer_ip` WRITE;
INSERT INTO `denied_peer_ip` VALUES
('','198.18.0.1-198.18.0.9'),
('','8.8.8.0-8.8.8.255');
UNLOCK TABLES;

LOCK TABLES `turn_secret` WRITE;
INSERT INTO `turn_secret` VALUES
('north.example','a secret of ours'),
('south.example','a secret of theirs');
UNLOCK TABLES;

LOCK TABLES `turnusers_lt` WRITE;
INSERT INTO `turnusers_lt` VALUES
('north.example','O\'Neil','bc807ee29df3c9ffa736523fb2c4e8ee'),
('north.example','alice','7da2270ccfa49786e0115366d3a3d14d'),
('south.example','carol','6972e85e51f36e53b0b61759c5a5219a');
UNLOCK TABLES;
